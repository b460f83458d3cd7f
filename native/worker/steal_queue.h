// The queues of the frames that come from a node, from which idle nodes take tasks.
//
// Peers get one task at a time: the next one asks in vain until all that the last task reads of the
// frame has left. Tasks sent side by side would all come as late as the last.
#ifndef LCP_TVM_WORKER_STEAL_QUEUE_H_
#define LCP_TVM_WORKER_STEAL_QUEUE_H_

#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "core.h"

namespace lcp_tvm::worker {

/*! \brief Called under the node's lock. */
class StealQueue {
 public:
  StealQueue(const Program& program, Core* core) : program_(program), core_(*core) {}

  void Begin(uint64_t frame, const RoutePlan& route, const std::vector<BlockRef>& inputs);
  /*! \brief Give this node the first task that it can run; whether there was one. */
  bool ServeSelf() { return Serve(program_.node); }
  /*! \brief Answer a peer that asks for a task, now or as soon as the last one has left. */
  void Ask(int peer);
  /*! \brief A region of the frame, for an open task, has left for a peer. */
  void Sent(int peer);
  /*! \brief A peer is gone, and with it what was on its way there. */
  void Lost(int peer);
  /*! \brief The pool has all that open tasks read of a task. */
  void Pooled(uint64_t frame, int task);
  void End(uint64_t frame);
  /*! \brief Whether there are tasks of a frame to take. */
  bool Has(uint64_t frame) const { return frames_.count(frame) > 0; }

 private:
  /*! \brief A frame from which there is something to take. */
  struct Entry {
    const RoutePlan* route;
    std::vector<BlockRef> inputs;
    std::vector<int> queue;
    std::vector<int> taken_by;
    std::vector<bool> pooled;
    /*! \brief By task, when it was first passed over. */
    std::map<int, int64_t> passed_over_ns;
  };
  using Entries = std::map<uint64_t, Entry>;

  void Answer();
  bool Serve(int taker);
  bool ServeFrom(Entries::iterator entry, int taker);
  bool IsReady(const Entry& entry, const OpenWay& way, int taker) const;
  bool HasWaited(Entry* entry, int task) const;
  void Give(Entries::iterator entry, int task, bool is_fallback, int taker);
  void Erase(Entries::iterator entry);

  const Program& program_;
  Core& core_;
  Entries frames_;
  std::deque<int> askers_;
  /*! \brief The peer that the last task goes to, and how many of its regions have not left. */
  int receiver_ = kAnywhere;
  size_t unsent_ = 0;
};

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_STEAL_QUEUE_H_
