// Feeds bytes to the whole receiving path: greeting, headers, regions, payloads.
//
// libFuzzer's form: native/fuzz.sh builds it with libFuzzer where clang has it, and else with the
// driver beside this file. A stream that arrives at once and one cut into pieces must give the same
// messages and end for the same reason; memory errors are left to the sanitizers.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "cuts.h"
#include "transport/greeting.h"
#include "transport/reader.h"
#include "transport/runs.h"

namespace lcp_tvm::transport {
namespace {

constexpr uint64_t kRun = 0x5EED;
/*! \brief Larger payloads are refused, as by a node with so much memory. */
constexpr uint64_t kMemory = 1 << 16;

/*! \brief Writes down all that a node sees. Places are just as large as payloads. */
class Witness : public Sink {
 public:
  std::vector<uint8_t> log;

  Place Receive(const Header& header) override {
    NoteHeader(header);
    Place place;
    if (header.payload > kMemory) {
      place.why = "too large";
      return place;
    }
    // What a node decides by its program is decided by a word here.
    switch (header.word % 8) {
      case 0:
        place.verdict = Place::Verdict::kDrop;
        return place;
      case 1:
        place.verdict = waited_ ? Place::Verdict::kTake : Place::Verdict::kWait;
        waited_ = !waited_;
        break;
      case 2:
        place.why = "unwanted";
        return place;
      default:
        place.verdict = Place::Verdict::kTake;
    }
    auto bytes = std::make_shared<std::vector<uint8_t>>(header.payload);
    place.data = bytes->data();
    place.keep = std::move(bytes);
    return place;
  }

  void Received(const Header& header, Place place, const Passage& passage) override {
    NoteHeader(header);
    log.insert(log.end(), place.data, place.data + header.payload);
    if (passage.bytes != kHeaderBytes + size_t{8} * header.box.ndim + header.payload) {
      std::abort();
    }
    SendOn(header, place);
  }

 private:
  void NoteHeader(const Header& header) {
    std::array<uint8_t, kMaxHeadBytes> head;
    const size_t size = Encode(header, &head);
    log.insert(log.end(), head.begin(), head.begin() + static_cast<ptrdiff_t>(size));
  }

  /*! \brief Read the region's lower half in each dimension, as if to send it on. */
  static void SendOn(const Header& header, const Place& place) {
    const uint64_t size = header.box.Size();
    if (!HasRegion(header.kind) || size == 0) {
      return;
    }
    Payload payload;
    payload.data = place.data;
    payload.item_bytes = static_cast<uint32_t>(header.payload / size);
    payload.array = payload.part = header.box;
    for (size_t d = 0; d < header.box.ndim; ++d) {
      payload.part.end[d] -= (payload.part.end[d] - payload.part.begin[d]) / 2;
    }
    uint64_t bytes = 0;
    unsigned sum = 0;
    Runs runs(payload, 0);
    for (Run run; runs.Next(&run); bytes += run.bytes) {
      sum += run.data[0] + run.data[run.bytes - 1];
    }
    volatile unsigned read = sum;  // so that the reads are not left out
    static_cast<void>(read);
    if (bytes != payload.part.Size() * payload.item_bytes) {
      std::abort();
    }
  }

  bool waited_ = false;
};

/*! \brief What a node sees of a stream that comes in pieces of `cut()` bytes. */
template <typename Cut>
std::vector<uint8_t> Read(const uint8_t* data, size_t size, Cut cut) {
  Witness witness;
  Reader reader(kRun, &witness);
  auto state = Reader::State::kReading;
  while (size > 0 && state == Reader::State::kReading) {
    iovec parts[2];
    const int count = reader.Space(&parts);
    size_t left = std::min<size_t>(cut(), size);
    size_t took = 0;
    for (int i = 0; i < count && left > 0; ++i) {
      const size_t part = std::min(parts[i].iov_len, left);
      std::memcpy(parts[i].iov_base, data + took, part);
      took += part;
      left -= part;
    }
    if (took == 0) {
      std::abort();
    }
    data += took;
    size -= took;
    state = reader.Took(took, 0);
    while (state == Reader::State::kWaiting) {
      state = reader.Retry(0);
    }
  }
  witness.log.push_back(static_cast<uint8_t>(state));
  witness.log.insert(witness.log.end(), reader.why().begin(), reader.why().end());
  return witness.log;
}

void Greet(const uint8_t* data, size_t size, size_t seed) {
  EndpointOptions options;
  options.run = kRun;
  options.nodes = 4;
  options.version = "1";
  Greeting greeting;
  tests::Cuts cuts(seed);
  auto state = Greeting::State::kReading;
  while (size > 0 && state == Greeting::State::kReading) {
    const size_t took = std::min({greeting.wanted(), cuts.Next(), size});
    std::memcpy(greeting.data(), data, took);
    data += took;
    size -= took;
    state = greeting.Took(took);
  }
  if (state == Greeting::State::kComplete) {
    const std::string problem = HelloProblem(options, greeting);
    const uint32_t node = greeting.header().task;
    if (problem.empty() && (node == 0 || node >= 4 || greeting.text() != "1")) {
      std::abort();
    }
  }
  if (state == Greeting::State::kBroken && greeting.why().empty()) {
    std::abort();
  }
}

}  // namespace
}  // namespace lcp_tvm::transport

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lcp_tvm::transport;
  Greet(data, size, size);
  lcp_tvm::tests::Cuts cuts(size);
  if (Read(data, size, [&] { return size; }) != Read(data, size, [&] { return cuts.Next(); })) {
    std::abort();
  }
  return 0;
}
