// The header of messages: what is written is read again, and all else is refused with its reason.
#include "transport/frame.h"

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "check.h"

namespace lcp_tvm::transport {
namespace {

using Bytes = std::vector<uint8_t>;

Header Region() {
  Header header;
  header.kind = Kind::kRegion;
  header.run = 0x0123456789ABCDEF;
  header.frame = 42;
  header.route = 3;
  header.task = 7;
  header.tensor = 9;
  header.word = 11;
  header.payload = uint64_t{4} * 2 * 3 * 4;
  header.box = {3, {0, 5, 100}, {2, 8, 104}};
  return header;
}

Bytes Encoded(const Header& header) {
  std::array<uint8_t, kMaxHeadBytes> bytes;
  const size_t size = Encode(header, &bytes);
  return {bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size)};
}

/*! \brief Why the bytes are refused; empty when they are taken. */
std::string Refusal(const Bytes& bytes) {
  Header header;
  std::string why;
  const bool taken = Decode(bytes.data(), bytes.size(), &header, &why);
  CHECK(taken == why.empty(), why);
  return why;
}

std::string RefusalOf(const Header& header) { return Refusal(Encoded(header)); }

void WordsLieWhereTheDocumentSays() {
  const Bytes bytes = Encoded(Region());
  const Bytes expected = {
      'L',  'C',  'P',  'F',  1,    6,    3,    0,     // magic, version, kind, ndim
      0xEF, 0xCD, 0xAB, 0x89, 0x67, 0x45, 0x23, 0x01,  // run
      42,   0,    0,    0,    0,    0,    0,    0,     // frame
      3,    0,    0,    0,    7,    0,    0,    0,     // route, task
      9,    0,    0,    0,    11,   0,    0,    0,     // tensor, word
      96,   0,    0,    0,    0,    0,    0,    0,     // payload
      0,    0,    0,    0,    2,    0,    0,    0,     // [0, 2)
      5,    0,    0,    0,    8,    0,    0,    0,     // [5, 8)
      100,  0,    0,    0,    104,  0,    0,    0,     // [100, 104)
  };
  CHECK(bytes == expected);
}

void WhatIsWrittenIsReadAgain() {
  std::mt19937_64 random(1);
  for (int round = 0; round < 2000; ++round) {
    Header header = Region();
    header.run = random();
    header.frame = random();
    header.route = static_cast<uint32_t>(random());
    header.task = static_cast<uint32_t>(random());
    header.tensor = static_cast<uint32_t>(random());
    header.word = static_cast<uint32_t>(random());
    header.box = Box();
    header.box.ndim = static_cast<uint8_t>(random() % (kMaxDims + 1));
    for (size_t d = 0; d < header.box.ndim; ++d) {
      header.box.begin[d] = static_cast<uint32_t>(random() % 1000000);
      header.box.end[d] = header.box.begin[d] + static_cast<uint32_t>(random() % 12);
    }
    header.payload = header.box.Size();
    if (header.payload > kMaxPayload) {
      continue;
    }
    const Bytes bytes = Encoded(header);
    Header read;
    std::string why;
    CHECK(Decode(bytes.data(), bytes.size(), &read, &why), why);
    CHECK(Encoded(read) == bytes);
    CHECK(read.box == header.box);
    CHECK_EQ(read.payload, header.payload);
  }
}

void FixedPartsAreChecked() {
  const struct {
    size_t at;
    uint8_t value;
    const char* why;
  } cases[] = {
      {0, 'X', "what came is no frame"},
      {4, 2, "protocol 2, not 1"},
      {5, 0, "a message of kind 0, which does not exist"},
      {5, 21, "a message of kind 21, which does not exist"},
      {5, static_cast<uint8_t>(Kind::kSteal), "STEAL with a region"},
      {6, 9, "a region of 9 dimensions"},
      {7, 1, "byte 7 is 1, not 0"},
  };
  for (const auto& each : cases) {
    Bytes bytes = Encoded(Region());
    bytes[each.at] = each.value;
    CHECK_EQ(Refusal(bytes), std::string(each.why));
    std::string why;
    CHECK_EQ(RegionBytes(bytes.data(), &why), -1);
    CHECK_EQ(why, std::string(each.why));
  }
}

void SizesAreChecked() {
  const Bytes bytes = Encoded(Region());
  for (size_t size = 0; size < bytes.size(); ++size) {
    CHECK_EQ(Refusal(Bytes(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size))),
             "a header of " + std::to_string(size) + " bytes");
  }
}

void RegionsAreChecked() {
  Header header = Region();
  header.box.begin[1] = 9;
  CHECK_EQ(RefusalOf(header), std::string("dimension 1 of the region is [9, 8)"));

  // 2^32 - 1 in each of eight dimensions would overflow any product.
  header.box.ndim = kMaxDims;
  header.box.begin.fill(0);
  header.box.end.fill(0xFFFFFFFF);
  CHECK_EQ(RefusalOf(header), std::string("the region has more than 2147483648 elements"));
  // An empty dimension does not hide the overflow of others.
  header.box.end[7] = 0;
  header.payload = 0;
  CHECK_EQ(RefusalOf(header), std::string("the region has more than 2147483648 elements"));
}

void PayloadsSuitTheirRegion() {
  Header header = Region();
  for (const uint64_t item : {1, 2, 4, 8, 16}) {
    header.payload = 24 * item;
    CHECK_EQ(RefusalOf(header), std::string());
  }
  for (const uint64_t payload : {0, 23, 25, 24 * 17}) {
    header.payload = payload;
    CHECK_EQ(RefusalOf(header),
             "REGION with a payload of " + std::to_string(payload) + " bytes for 24 elements");
  }
  header.payload = ~uint64_t{0};
  CHECK_EQ(RefusalOf(header),
           std::string("REGION with a payload of 18446744073709551615 bytes; at most 2147483648"));

  header.box.end[0] = 0;  // no elements
  header.payload = 0;
  CHECK_EQ(RefusalOf(header), std::string());
  header.payload = 1;
  CHECK_EQ(RefusalOf(header), std::string("REGION with a payload of 1 bytes for 0 elements"));
}

void PayloadsSuitTheirKind() {
  Header header;
  header.kind = Kind::kFailed;
  header.payload = kMaxText;
  CHECK_EQ(RefusalOf(header), std::string());
  header.payload = kMaxText + 1;
  CHECK_EQ(RefusalOf(header), std::string("FAILED with a payload of 4097 bytes; at most 4096"));
  header.kind = Kind::kPong;
  header.payload = 7;
  CHECK_EQ(RefusalOf(header), std::string("PONG with a payload of 7 bytes; it has 8"));
  header.kind = Kind::kSteal;
  header.payload = 1;
  CHECK_EQ(RefusalOf(header), std::string("STEAL with a payload of 1 bytes; it has none"));
}

void EveryFlippedPairOfBitsIsReadOrRefused() {
  const Bytes bytes = Encoded(Region());
  for (size_t first = 0; first < bytes.size() * 8; ++first) {
    for (size_t second = first; second < bytes.size() * 8; second += 7) {
      Bytes flipped = bytes;
      flipped[first / 8] ^= static_cast<uint8_t>(1 << (first % 8));
      flipped[second / 8] ^= static_cast<uint8_t>(1 << (second % 8));
      Header header;
      std::string why;
      if (Decode(flipped.data(), flipped.size(), &header, &why)) {
        CHECK(Encoded(header) == flipped);
        CHECK(header.payload <= kMaxPayload);
      }
    }
  }
}

}  // namespace
}  // namespace lcp_tvm::transport

int main(int argc, char** argv) {
  using namespace lcp_tvm::transport;
  return lcp_tvm::tests::Main(
      {{"words lie where the document says", WordsLieWhereTheDocumentSays},
       {"what is written is read again", WhatIsWrittenIsReadAgain},
       {"fixed parts are checked", FixedPartsAreChecked},
       {"sizes are checked", SizesAreChecked},
       {"regions are checked", RegionsAreChecked},
       {"payloads suit their region", PayloadsSuitTheirRegion},
       {"payloads suit their kind", PayloadsSuitTheirKind},
       {"every flipped pair of bits is read or refused", EveryFlippedPairOfBitsIsReadOrRefused}},
      argc, argv);
}
