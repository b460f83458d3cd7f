// What work stealing must know of a route: what open tasks read, and what the pool has for them.
//
// Open are the tasks of place kAnywhere. The predictor's `find_stealable` says the same.
#ifndef LCP_TVM_WORKER_STEAL_PLAN_H_
#define LCP_TVM_WORKER_STEAL_PLAN_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "route.h"

namespace lcp_tvm::worker {

struct Region {
  uint32_t tensor = 0;
  Box box;
};

/*! \brief What is read of one task's results, or of the frame. */
struct Share {
  int producer = kFrame;
  /*! \brief Each once; those inside earlier ones are left out. */
  std::vector<Region> regions;
};

/*! \brief A way to compute an open task. */
struct OpenWay {
  std::vector<Region> frame;
  std::vector<Share> others;
  /*! \brief By read, the tasks that write it; reads of the frame alone are left out. */
  std::vector<std::vector<int>> reads;
  /*! \brief How many of those must be there. */
  int needs = 0;
};

struct OpenTask {
  OpenWay own;
  std::optional<OpenWay> fallback;

  const OpenWay& way(bool is_fallback) const { return is_fallback && fallback ? *fallback : own; }
};

struct StealPlan {
  /*! \brief The open tasks, in order. */
  std::vector<int> queue;
  /*! \brief By task; nothing for those that are not open. */
  std::vector<std::optional<OpenTask>> tasks;
  /*! \brief What to know of a task that is open. */
  const OpenTask& Open(int task) const {
    return *tasks[task];  // NOLINT(bugprone-unchecked-optional-access): callers know it is open
  }
  /*! \brief By task, what open tasks read of its results. */
  std::vector<std::vector<Region>> pool;
};

/*! \brief The region of a list that holds a box; -1: none does. */
int FindRegion(const std::vector<Region>& regions, uint32_t tensor, const Box& box);

StealPlan MakeStealPlan(const Program& program, const Route& route);

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_STEAL_PLAN_H_
