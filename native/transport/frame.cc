#include "frame.h"

#include <algorithm>

namespace lcp_tvm::transport {

namespace {

enum class Carries { kNothing, kText, kClock, kElements };

struct KindFacts {
  const char* name;
  Carries carries;
};

// By kind; the first is kHello.
constexpr KindFacts kKinds[] = {
    {"HELLO", Carries::kText},      {"WELCOME", Carries::kText},   {"REFUSED", Carries::kText},
    {"PING", Carries::kNothing},    {"PONG", Carries::kClock},     {"REGION", Carries::kElements},
    {"INPUT", Carries::kElements},  {"BEGIN", Carries::kText},     {"END", Carries::kNothing},
    {"FAILED", Carries::kText},     {"LINK", Carries::kText},      {"WORK", Carries::kNothing},
    {"NO_WORK", Carries::kNothing}, {"WHO", Carries::kNothing},    {"HINT", Carries::kNothing},
    {"STEAL", Carries::kNothing},   {"TASK", Carries::kNothing},   {"NO_TASK", Carries::kNothing},
    {"FETCH", Carries::kNothing},   {"POOLED", Carries::kNothing},
};
constexpr size_t kNumKinds = sizeof(kKinds) / sizeof(kKinds[0]);
static_assert(kNumKinds == static_cast<size_t>(Kind::kPooled), "a kind without its facts");

const KindFacts& Facts(Kind kind) { return kKinds[static_cast<size_t>(kind) - 1]; }

template <typename T>
uint8_t* Put(uint8_t* to, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) {
    *to++ = static_cast<uint8_t>(value >> (8 * i));
  }
  return to;
}

template <typename T>
T Get(const uint8_t* from) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value |= static_cast<T>(from[i]) << (8 * i);
  }
  return value;
}

/*! \brief Read a region's ranges; false when one is backwards or their product too large. */
bool DecodeBox(const uint8_t* bytes, Box* box, std::string* why) {
  uint64_t size = 1;
  for (size_t d = 0; d < box->ndim; ++d) {
    box->begin[d] = Get<uint32_t>(bytes + 8 * d);
    box->end[d] = Get<uint32_t>(bytes + 8 * d + 4);
    if (box->begin[d] > box->end[d]) {
      *why = "dimension " + std::to_string(d) + " of the region is [" +
             std::to_string(box->begin[d]) + ", " + std::to_string(box->end[d]) + ")";
      return false;
    }
    // An empty dimension counts as one here: the others' product must not overflow either.
    const uint64_t extent = std::max<uint64_t>(box->end[d] - box->begin[d], 1);
    if (size > kMaxPayload / extent) {
      *why = "the region has more than " + std::to_string(kMaxPayload) + " elements";
      return false;
    }
    size *= extent;
  }
  return true;
}

/*! \brief Why the payload does not suit the kind; empty when it does. */
std::string PayloadProblem(const Header& header) {
  const KindFacts& facts = Facts(header.kind);
  std::string what =
      std::string(facts.name) + " with a payload of " + std::to_string(header.payload) + " bytes";
  switch (facts.carries) {
    case Carries::kNothing:
      return header.payload == 0 ? "" : what + "; it has none";
    case Carries::kClock:
      return header.payload == 8 ? "" : what + "; it has 8";
    case Carries::kText:
      return header.payload <= kMaxText ? "" : what + "; at most " + std::to_string(kMaxText);
    case Carries::kElements: {
      if (header.payload > kMaxPayload) {
        return what + "; at most " + std::to_string(kMaxPayload);
      }
      const uint64_t size = header.box.Size();
      const bool whole = size == 0 ? header.payload == 0
                                   : header.payload % size == 0 && header.payload / size > 0 &&
                                         header.payload / size <= kMaxItemBytes;
      return whole ? "" : what + " for " + std::to_string(size) + " elements";
    }
  }
  return what;
}

}  // namespace

uint64_t Box::Size() const {
  uint64_t size = 1;
  for (size_t d = 0; d < ndim; ++d) {
    size *= end[d] - begin[d];
  }
  return size;
}

bool Box::operator==(const Box& other) const {
  if (ndim != other.ndim) {
    return false;
  }
  for (size_t d = 0; d < ndim; ++d) {
    if (begin[d] != other.begin[d] || end[d] != other.end[d]) {
      return false;
    }
  }
  return true;
}

const char* Name(Kind kind) { return Facts(kind).name; }

bool HasRegion(Kind kind) { return Facts(kind).carries == Carries::kElements; }

size_t Encode(const Header& header, std::array<uint8_t, kMaxHeadBytes>* out) {
  uint8_t* to = out->data();
  to = Put(to, kMagic);
  to = Put(to, kVersion);
  to = Put(to, static_cast<uint8_t>(header.kind));
  to = Put(to, header.box.ndim);
  to = Put(to, uint8_t{0});
  to = Put(to, header.run);
  to = Put(to, header.frame);
  to = Put(to, header.route);
  to = Put(to, header.task);
  to = Put(to, header.tensor);
  to = Put(to, header.word);
  to = Put(to, header.payload);
  for (size_t d = 0; d < header.box.ndim; ++d) {
    to = Put(to, header.box.begin[d]);
    to = Put(to, header.box.end[d]);
  }
  return static_cast<size_t>(to - out->data());
}

int RegionBytes(const uint8_t* fixed, std::string* why) {
  const uint8_t version = fixed[4];
  const uint8_t kind = fixed[5];
  const uint8_t ndim = fixed[6];
  if (Get<uint32_t>(fixed) != kMagic) {
    *why = "what came is no frame";
  } else if (version != kVersion) {
    *why = "protocol " + std::to_string(version) + ", not " + std::to_string(kVersion);
  } else if (kind == 0 || kind > kNumKinds) {
    *why = "a message of kind " + std::to_string(kind) + ", which does not exist";
  } else if (ndim > kMaxDims) {
    *why = "a region of " + std::to_string(ndim) + " dimensions";
  } else if (ndim != 0 && !HasRegion(static_cast<Kind>(kind))) {
    *why = std::string(Name(static_cast<Kind>(kind))) + " with a region";
  } else if (fixed[7] != 0) {
    *why = "byte 7 is " + std::to_string(fixed[7]) + ", not 0";
  } else {
    return ndim * 8;
  }
  return -1;
}

bool Decode(const uint8_t* bytes, size_t size, Header* header, std::string* why) {
  if (size < kHeaderBytes) {
    *why = "a header of " + std::to_string(size) + " bytes";
    return false;
  }
  const int region = RegionBytes(bytes, why);
  if (region < 0) {
    return false;
  }
  if (size != kHeaderBytes + static_cast<size_t>(region)) {
    *why = "a header of " + std::to_string(size) + " bytes";
    return false;
  }
  header->kind = static_cast<Kind>(bytes[5]);
  header->box.ndim = bytes[6];
  header->run = Get<uint64_t>(bytes + 8);
  header->frame = Get<uint64_t>(bytes + 16);
  header->route = Get<uint32_t>(bytes + 24);
  header->task = Get<uint32_t>(bytes + 28);
  header->tensor = Get<uint32_t>(bytes + 32);
  header->word = Get<uint32_t>(bytes + 36);
  header->payload = Get<uint64_t>(bytes + 40);
  if (!DecodeBox(bytes + kHeaderBytes, &header->box, why)) {
    return false;
  }
  *why = PayloadProblem(*header);
  return why->empty();
}

}  // namespace lcp_tvm::transport
