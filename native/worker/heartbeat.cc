#include "heartbeat.h"

#include "alarm.h"
#include "core.h"

namespace lcp_tvm::worker {

std::vector<int> Heartbeat::Peers() const {
  std::vector<int> peers;
  peers.reserve(peers_.size());
  for (const auto& [peer, state] : peers_) {
    peers.push_back(peer);
  }
  return peers;
}

int64_t Heartbeat::NextNs() const { return peers_.empty() ? kNever : asked_ns_ + period_ns_; }

std::vector<int> Heartbeat::Beat(transport::Endpoint* endpoint, int64_t now_ns) {
  std::vector<int> silent;
  if (now_ns < NextNs()) {
    return silent;
  }
  // Beats are counted, and not the time: whoever was stopped himself has heard nobody.
  for (auto& [peer, state] : peers_) {
    const int64_t heard_ns = endpoint->HeardNs(peer);
    state.unanswered = heard_ns == state.heard_ns ? state.unanswered + 1 : 0;
    state.heard_ns = heard_ns;
    if (state.unanswered >= beats_) {
      silent.push_back(peer);
    }
  }
  asked_ns_ = now_ns;
  ++number_;
  for (const auto& [peer, state] : peers_) {
    endpoint->Send(peer, Note(transport::Kind::kPing, number_));
  }
  return silent;
}

std::vector<int> Heartbeat::Silent(const transport::Endpoint& endpoint, int64_t now_ns) const {
  const bool is_overdue = now_ns - asked_ns_ > period_ns_ / 2;
  std::vector<int> silent;
  for (const auto& [peer, state] : peers_) {
    if (endpoint.HeardNs(peer) < asked_ns_ && (is_overdue || state.unanswered > 0)) {
      silent.push_back(peer);
    }
  }
  return silent;
}

void Heartbeat::Answer(int peer, uint64_t number, int64_t clock_ns, Stats* stats) {
  if (number != number_ || peers_.count(peer) == 0) {
    return;  // late, or said unasked
  }
  const int64_t now = NowNs();
  stats->Clock(peer, clock_ns - (asked_ns_ + (now - asked_ns_) / 2), now - asked_ns_);
}

}  // namespace lcp_tvm::worker
