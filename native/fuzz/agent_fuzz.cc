// Feeds bytes to what the agent reads of strangers: clients' greetings, and a tracker's answers.
//
// However a greeting is cut into pieces, it is understood the same way and nothing after it is
// taken. A tracker may say anything at any time; whatever it is, the worker goes on.
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "agent/address.h"
#include "agent/descriptor.h"
#include "agent/handshake.h"
#include "agent/report.h"
#include "agent/tracker.h"
#include "cuts.h"
#include "seeds.h"

namespace lcp_tvm::agent {

/*! \brief What the agent would tell the user is no finding. */
void Say(const std::string&) {}

namespace {

void Expect(bool holds) {
  if (!holds) {
    std::abort();
  }
}

/*! \brief What becomes of a client that sends these bytes in pieces, as a text. */
template <typename Cut>
std::string Hear(std::string_view bytes, Cut cut) {
  std::string heard;
  for (;;) {
    const Greeting greeting = ReadGreeting(heard);
    if (!greeting.wrong.empty()) {
      return "wrong: " + std::string(greeting.wrong);
    }
    if (greeting.missing == 0) {
      Expect(greeting.key.size() <= kMaxKey);
      Expect(greeting.key.find_first_of(" \t\n\r") == std::string_view::npos);
      return std::to_string(heard.size()) + " bytes: " + std::string(greeting.key);
    }
    const size_t count = std::min({greeting.missing, kMaxKey, cut(), bytes.size()});
    if (count == 0) {
      return "unfinished";
    }
    heard.append(bytes.substr(0, count));
    bytes.remove_prefix(count);
  }
}

void ReadAnswer(std::string_view bytes) {
  const TrackerAnswer answer = ReadTrackerAnswer(bytes);
  Expect(!answer.complete || answer.wrong.empty());
  Expect(!answer.complete ||
         (answer.text.size() == ReadLittleEndian(bytes) && answer.text.size() + 4 == bytes.size()));
}

/*! \brief How much a tracker says next: an answer as it should be, or any bytes. */
size_t NextPiece(std::string_view bytes, tests::Cuts* cuts) {
  const size_t any = cuts->Next();
  if (any % 4 == 0 || bytes.size() < 4) {
    return std::min(any, bytes.size());
  }
  return std::min<size_t>(size_t{4} + ReadLittleEndian(bytes), bytes.size());
}

/*! \brief A tracker's end: where it listens, and what it says to a worker. */
class FakeTracker {
 public:
  FakeTracker() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const Address any = Resolve("127.0.0.1", 0);
    Expect(bind(listener_.get(), any.get(), any.size) == 0 && listen(listener_.get(), 1) == 0);
  }

  void Talk(std::string_view bytes, size_t seed) const {
    Tracker tracker(BoundTo(listener_.get()), "fuzz", "lcp-any", 9090);
    tracker.Step(/*busy=*/false);
    const Descriptor connection(accept(listener_.get(), nullptr, nullptr));
    Expect(connection.is_open());
    tests::Cuts cuts(seed);
    for (size_t count = std::min(size_t{4}, bytes.size()); count > 0 && tracker.socket() >= 0;
         count = NextPiece(bytes, &cuts)) {
      tracker.Step(seed % 2 == 0);
      send(connection.get(), bytes.data(), count, MSG_NOSIGNAL);
      bytes.remove_prefix(count);
      tracker.Step(seed % 2 == 0);
      Expect(!tracker.Knows(""));
    }
  }

 private:
  const Descriptor listener_;
};

tests::Bytes BytesOf(const std::string& text) { return {text.begin(), text.end()}; }

std::string Sized(const std::string& text) {
  return LittleEndian(static_cast<uint32_t>(text.size())) + text;
}

}  // namespace
}  // namespace lcp_tvm::agent

namespace lcp_tvm::tests {

std::vector<Bytes> Seeds() {
  using namespace agent;
  const std::string magic = LittleEndian(kRpcMagic);
  const std::string tracker_magic = LittleEndian(0x2F271);
  return {
      BytesOf(magic + Sized("client:")),
      BytesOf(magic + Sized("client:lcp-any:0123456789abcdef -timeout=60")),
      BytesOf(tracker_magic + Sized("0") + Sized("0") + Sized("[\"lcp-any:0123456789abcdef\"]")),
      BytesOf(Sized("0")),
  };
}

}  // namespace lcp_tvm::tests

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lcp_tvm::agent;
  const std::string bytes(data, data + size);
  lcp_tvm::tests::Cuts cuts(size);
  Expect(Hear(bytes, [&] { return bytes.size(); }) == Hear(bytes, [&] { return cuts.Next(); }));
  ReadAnswer(bytes);
  static const FakeTracker tracker;
  tracker.Talk(bytes, size);
  return 0;
}
