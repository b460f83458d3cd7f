// An idle node in work stealing: looks for tasks, and gets what they read.
//
//   own queue --task--> | else: WHO? -> HINT -> STEAL -> TASK | REGIONs of the frame
//                       |       nobody, NO_TASK: sleep        | FETCH -> REGIONs of others, FETCH
//
// While it asks, that counts as one thread's work.
#ifndef LCP_TVM_WORKER_THIEF_H_
#define LCP_TVM_WORKER_THIEF_H_

#include <cstdint>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "alarm.h"
#include "core.h"

namespace lcp_tvm::worker {

/*! \brief Called under the node's lock. */
class Thief {
 public:
  /*! \brief `serve_itself` takes a task from the node's own queue, if there is one for it. */
  Thief(const Program& program, Core* core, std::function<bool()> serve_itself)
      : program_(program), core_(*core), serve_itself_(std::move(serve_itself)) {}

  /*! \brief Look for work if this node may take tasks of the route. */
  void AddRoute(const Route& route);

  /*! \brief Look for work for a thread that has none, unless it is asleep or asking. */
  void Seek();
  /*! \brief When to seek again though nothing happens. */
  int64_t NextNs() const;

  void Hint(uint32_t victim);
  void NoTask();
  /*! \brief A task has been given to this node. */
  void Take(uint64_t frame, const RoutePlan& route, int task, bool is_fallback, int from);
  /*! \brief The pool has sent all that it has for a task. */
  void Fetched(uint64_t frame, int task);

  enum class Wanted { kYes, kNo, kNeverAsked };
  /*! \brief Whether a region is due for a task. */
  Wanted Wants(uint64_t frame, int task, int producer, uint32_t tensor, const Box& box) const;
  void Put(uint64_t frame, int task, int producer, const BlockRef& block);

  /*! \brief Keep the results of a task here that open tasks may read. */
  void Keep(uint64_t frame, int task, std::vector<BlockRef> blocks);
  /*! \brief A thread has ended a task. */
  void Done();
  void End(uint64_t frame);
  void Lost(int peer);
  /*! \brief Whether tasks of a frame have been taken that lack something. */
  bool Has(uint64_t frame) const {
    const auto first = taken_.lower_bound({frame, 0});
    return first != taken_.end() && first->first.first == frame;
  }

 private:
  static constexpr int64_t kAnswerNs = 5'000'000'000;

  using Key = std::pair<uint64_t, int>;

  /*! \brief A task that was taken and still lacks something. */
  struct Taken {
    Job job;
    const OpenWay* way;
    size_t frame_left;
    bool is_fetching;
    /*! \brief Tasks that run here and whose results it reads. */
    std::vector<int> awaited;
  };

  void Sleep();
  void StartIfReady(std::map<Key, Taken>::iterator entry);

  const Program& program_;
  Core& core_;
  std::function<bool()> serve_itself_;
  bool may_take_ = false;
  bool has_peers_ = false;
  bool asking_ = false;
  int64_t asked_ns_ = 0;
  /*! \brief An answer that takes longer does not come. */
  int64_t answer_ns_ = kAnswerNs;
  int victim_ = kAnywhere;
  int64_t awake_ns_ = 0;
  int64_t idle_since_ns_ = 0;
  std::map<Key, Taken> taken_;
  std::map<Key, std::vector<BlockRef>> kept_;
  /*! \brief Tasks taken whose results are not there yet. */
  std::map<Key, bool> computing_;
};

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_THIEF_H_
