// Who is silent, at times that the test says, which are ahead of the connection's clock.
#include "worker/heartbeat.h"

#include <cstdint>
#include <vector>

#include "check.h"
#include "recorder.h"

namespace lcp_tvm::worker {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kPeriod = kSecond / 2;
constexpr int64_t kBeats = 4;
constexpr int kPeer = 1;

bool IsThePeer(const std::vector<int>& peers) { return peers.size() == 1 && peers[0] == kPeer; }

Heartbeat HeartbeatOfPeer() {
  Heartbeat heartbeat(kBeats * kPeriod);
  heartbeat.Add(kPeer);
  return heartbeat;
}

void WhoWasStoppedHimselfBlamesNobody() {
  tests::Link link;
  Heartbeat heartbeat = HeartbeatOfPeer();
  const int64_t now = link.ends[0]->HeardNs(kPeer) + 60 * kSecond;
  CHECK(heartbeat.Beat(link.ends[0].get(), now).empty());
  CHECK(heartbeat.Silent(*link.ends[0], now).empty());
  CHECK(heartbeat.Silent(*link.ends[0], now + kPeriod / 2).empty());
}

void WhoDoesNotAnswerInHalfABeatIsSilent() {
  tests::Link link;
  Heartbeat heartbeat = HeartbeatOfPeer();
  const int64_t now = link.ends[0]->HeardNs(kPeer) + 60 * kSecond;
  heartbeat.Beat(link.ends[0].get(), now);
  CHECK(IsThePeer(heartbeat.Silent(*link.ends[0], now + kPeriod / 2 + 1)));
}

void WhoHasAnsweredIsNotSilent() {
  tests::Link link;
  Heartbeat heartbeat = HeartbeatOfPeer();
  const int64_t now = link.ends[0]->HeardNs(kPeer);
  heartbeat.Beat(link.ends[0].get(), now);
  CHECK(heartbeat.Silent(*link.ends[0], now + kPeriod - 1).empty());
}

void WhoLeavesBeatsUnansweredIsSilentAtOnceAndThenLost() {
  tests::Recorder recorder;
  tests::Endpoint alone(tests::Options(0, 2), &recorder);
  Heartbeat heartbeat = HeartbeatOfPeer();
  for (int64_t beat = 1; beat < kBeats; ++beat) {
    CHECK(heartbeat.Beat(&alone, beat * kPeriod).empty());
    CHECK(IsThePeer(heartbeat.Silent(alone, beat * kPeriod)));
    CHECK(heartbeat.Beat(&alone, (beat + 1) * kPeriod - 1).empty());  // no beat yet
  }
  CHECK(IsThePeer(heartbeat.Beat(&alone, kBeats * kPeriod)));
}

}  // namespace
}  // namespace lcp_tvm::worker

int main(int argc, char** argv) {
  using namespace lcp_tvm::worker;
  return lcp_tvm::tests::Main(
      {{"who was stopped himself blames nobody", WhoWasStoppedHimselfBlamesNobody},
       {"who does not answer in half a beat is silent", WhoDoesNotAnswerInHalfABeatIsSilent},
       {"who has answered is not silent", WhoHasAnsweredIsNotSilent},
       {"who leaves beats unanswered is silent at once, and then lost",
        WhoLeavesBeatsUnansweredIsSilentAtOnceAndThenLost}},
      argc, argv);
}
