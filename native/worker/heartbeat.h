// The client asks its peers whether they are alive, and what time it is there.
#ifndef LCP_TVM_WORKER_HEARTBEAT_H_
#define LCP_TVM_WORKER_HEARTBEAT_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include "stats.h"
#include "transport/endpoint.h"

namespace lcp_tvm::worker {

/*! \brief Called under the node's lock. */
class Heartbeat {
 public:
  explicit Heartbeat(int64_t silence_ns)
      : beats_(std::max(silence_ns / kLongestNs, kFewest)), period_ns_(silence_ns / beats_) {}

  void Add(int peer) { peers_[peer] = {}; }
  void Remove(int peer) { peers_.erase(peer); }
  std::vector<int> Peers() const;

  /*! \brief When the next beat is due. */
  int64_t NextNs() const;
  /*! \brief Ask everybody, if it is time; return those that have not answered for too long. */
  std::vector<int> Beat(transport::Endpoint* endpoint, int64_t now_ns);
  /*! \brief Those whose answer to the last question, or to the one before, is overdue. */
  std::vector<int> Silent(const transport::Endpoint& endpoint, int64_t now_ns) const;
  /*! \brief An answer to question `number`, with the clock of the peer. */
  void Answer(int peer, uint64_t number, int64_t clock_ns, Stats* stats);

 private:
  static constexpr int64_t kFewest = 4;
  static constexpr int64_t kLongestNs = 500'000'000;

  struct Peer {
    int64_t heard_ns = 0;
    int64_t unanswered = 0;
  };

  /*! \brief So many questions without an answer are silence. */
  const int64_t beats_;
  const int64_t period_ns_;
  std::map<int, Peer> peers_;
  int64_t asked_ns_ = 0;
  uint64_t number_ = 0;
};

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_HEARTBEAT_H_
