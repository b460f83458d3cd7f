// What the parts of a node ask of it. They are called, and call back, under the node's lock.
#ifndef LCP_TVM_WORKER_CORE_H_
#define LCP_TVM_WORKER_CORE_H_

#include <cstdint>
#include <string>

#include "compute.h"
#include "memory.h"
#include "route.h"
#include "steal_plan.h"
#include "transport/frame.h"

namespace lcp_tvm::worker {

/*! \brief A REGION's word: for the tasks of settled place at its receiver. */
constexpr uint32_t kSettled = transport::kNobody;
/*! \brief A REGION's word: for the gateway's pool. Others are open tasks, which it is for. */
constexpr uint32_t kPool = transport::kNobody - 1;

/*! \brief A FETCH's word: all that the pool has for the task has been sent. */
constexpr uint32_t kAllFetched = 2;

/*! \brief A route, and what follows from it. */
struct RoutePlan {
  Route route;
  Wiring wiring;
  StealPlan steal;
};

/*! \brief A message without a payload. */
inline transport::Header Note(transport::Kind kind, uint64_t frame = 0, uint32_t route = 0,
                              uint32_t task = 0, uint32_t word = 0) {
  transport::Header header;
  header.kind = kind;
  header.frame = frame;
  header.route = route;
  header.task = task;
  header.word = word;
  return header;
}

/*! \brief The header of a part of a tensor that a producer made. */
inline transport::Header RegionHeader(uint64_t frame, uint32_t route, int producer, uint32_t word,
                                      uint32_t tensor, const Box& part) {
  const auto task = producer == kFrame ? transport::kFrameTask : static_cast<uint32_t>(producer);
  transport::Header header = Note(transport::Kind::kRegion, frame, route, task, word);
  header.tensor = tensor;
  header.box = part;
  return header;
}

class Core {
 public:
  virtual ~Core() = default;
  /*! \brief Send a message without a payload; one to this node comes after all that is under way.
   */
  virtual void Tell(int node, const transport::Header& note) = 0;
  /*! \brief Send a part of a block that a producer made; likewise. */
  virtual void SendRegion(int node, uint64_t frame, uint32_t route, int producer, uint32_t word,
                          const BlockRef& block, const Box& part) = 0;
  /*! \brief Compute this as soon as a thread is free; older frames and earlier tasks go first. */
  virtual void Submit(Job job) = 0;
  /*! \brief Compute threads that have nothing to do, with nothing waiting for them either. */
  virtual int IdleThreads() const = 0;
  /*! \brief A frame cannot be computed; it ends here once what is under way is through. */
  virtual void Fail(uint64_t frame, const std::string& reason) = 0;
};

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_CORE_H_
