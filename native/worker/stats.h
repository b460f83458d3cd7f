// What a node has done: counters by frame and peer, and the timeline (docs/runtime.md, "Control").
#ifndef LCP_TVM_WORKER_STATS_H_
#define LCP_TVM_WORKER_STATS_H_

#include <cstdint>
#include <deque>
#include <map>
#include <string>

#include "compute.h"
#include "memory.h"
#include "transport/endpoint.h"

namespace lcp_tvm::worker {

/*! \brief Not safe for threads. Bounded: the oldest goes when there is too much. */
class Stats {
 public:
  explicit Stats(bool trace) : trace_(trace) {}

  void Began(uint64_t frame);
  void Ended(uint64_t frame);
  void Computed(const Job& job, const Outcome& outcome);
  void Sent(int peer, const transport::Header& header, const transport::Passage& passage);
  void Received(int peer, const transport::Header& header, const transport::Passage& passage);
  /*! \brief A peer's clock, as an answer told it. */
  void Clock(int peer, int64_t offset_ns, int64_t round_trip_ns);

  /*! \brief All of it as JSON, and begin anew. */
  std::string Take(MemoryBudget* budget, uint64_t weight_bytes);

 private:
  struct Frame {
    int64_t first_ns = 0;
    int64_t last_ns = 0;
    int64_t compute_ns = 0;
    int64_t transfer_ns = 0;
    /*! \brief Up to when transfers have been counted; those at the same time count once. */
    int64_t transferred_ns = 0;
    uint64_t sent_bytes = 0;
    uint64_t received_bytes = 0;
    uint64_t tasks = 0;
    uint64_t stolen = 0;
    uint64_t fallbacks = 0;
    bool ended = false;
  };
  struct Link {
    uint64_t sent_bytes = 0;
    uint64_t received_bytes = 0;
    uint64_t messages = 0;
  };
  struct PeerClock {
    int64_t offset_ns = 0;
    int64_t round_trip_ns = 0;
    bool reported = false;
  };
  struct Span {
    const char* lane;
    uint64_t frame;
    int64_t task;
    int peer;
    int64_t begin_ns;
    int64_t end_ns;
    uint64_t bytes;
  };

  Frame* Find(uint64_t frame);
  /*! \brief Count a message; its frame, if it is known and the message has data of it. */
  Frame* Passed(const char* lane, int peer, const transport::Header& header,
                const transport::Passage& passage);
  void Keep(const Span& span);
  std::string FramesJson();

  const bool trace_;
  std::map<uint64_t, Frame> frames_;
  std::map<int, Link> links_;
  std::map<int, PeerClock> clocks_;
  std::deque<Span> spans_;
  int64_t late_ns_ = 0;
};

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_STATS_H_
