// The gateway in work stealing: who has work, and results that open tasks may read.
#ifndef LCP_TVM_WORKER_POOL_H_
#define LCP_TVM_WORKER_POOL_H_

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "core.h"

namespace lcp_tvm::worker {

/*! \brief Nodes that have work; asked in turn. */
class Ring {
 public:
  void Add(int node) { nodes_.insert(node); }
  void Remove(int node) { nodes_.erase(node); }
  /*! \brief The next node with work after the last one named, other than who asks; or kNobody. */
  uint32_t Next(int asker);

 private:
  std::set<int> nodes_;
  int last_ = -1;
};

/*! \brief Called under the node's lock. */
class Pool {
 public:
  Pool(const Program& program, Core* core) : program_(program), core_(*core) {}

  /*! \brief Take a region that open tasks read, `region` of the route's pool for the task. */
  void Put(uint64_t frame, const RoutePlan& route, int task, int region, int from, BlockRef block);
  /*! \brief Send a node what the pool has for a way to compute a task, then word that it is all. */
  void Fetch(uint64_t frame, const RoutePlan& route, int task, bool is_fallback, int taker);
  void End(uint64_t frame) { frames_.erase(frame); }

 private:
  struct Result {
    /*! \brief The node that computed it. */
    int from = 0;
    size_t missing = 0;
    /*! \brief By region of the route's pool for the task. */
    std::vector<BlockRef> blocks;
  };

  void SendShare(uint64_t frame, const RoutePlan& route, const Share& share, int task, int taker);

  const Program& program_;
  Core& core_;
  std::map<uint64_t, std::map<int, Result>> frames_;
};

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_POOL_H_
