// The way of frames from one source through the nodes, and what of it concerns one node.
//
//     result or input here --sends--> other nodes          region from another node --uses--> tasks
//     here
//                          --uses---> tasks here                                    --sends->
//                          (relay)
//
// A producer's data goes to a node once: what lies in a region that the node gets already is not
// sent again. The predictor's messages (lcp_tvm/predict/wiring.py) hold the same regions.
#ifndef LCP_TVM_WORKER_ROUTE_H_
#define LCP_TVM_WORKER_ROUTE_H_

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "program.h"

namespace lcp_tvm::worker {

enum class Policy { kStatic, kSharing, kStealing };

struct Route {
  uint32_t id = 0;
  int source = 0;
  /*! \brief By task, its node or kAnywhere. */
  std::vector<int> places;
  /*! \brief By node, whether it may take tasks of place kAnywhere. */
  std::vector<bool> takes;
  Policy policy = Policy::kStatic;

  /*! \brief The node that hands out the frame: its source; in work sharing the gateway. */
  int frame_place(const Program& program) const {
    return policy == Policy::kSharing ? program.gateway : source;
  }
};

/*! \brief Read a route; throws an ffi error that says what is wrong with it. */
Route ReadRoute(const std::string& text, const Program& program);

/*! \brief A piece that a task here reads; task number `Program::outputs()` is the outputs. */
struct Use {
  int task = 0;
  uint32_t read = 0;
  uint32_t piece = 0;
};

struct Send {
  int node = 0;
  Box box;
};

/*! \brief Data of one producer that is at this node at some time, and where it goes from there. */
struct Supply {
  int producer = kFrame;
  uint32_t tensor = 0;
  Box box;
  /*! \brief The node that it comes from; kAnywhere: whichever ran the task. */
  int from = 0;
  std::vector<Use> uses;
  std::vector<Send> sends;
};

/*! \brief What one node does for the frames of a route, as far as places are settled. */
struct Wiring {
  std::vector<Supply> supplies;
  /*! \brief By input of the frame, its supply where the frame is handed out; else -1. */
  std::vector<int> inputs;
  /*! \brief By task and write, its supply where the task may run; else -1. */
  std::vector<std::vector<int>> results;
  /*! \brief Tasks of this node that read nothing, and run as soon as the frame begins. */
  std::vector<int> readless;
  /*! \brief Where the frame is handed out: other nodes with such tasks, which must be told. */
  std::vector<int> tell;

  /*! \brief The supply of a region that comes from elsewhere; nullptr: none is due. */
  const Supply* Find(int producer, uint32_t tensor, const Box& box) const;

  std::unordered_multimap<size_t, int> arrivals;
};

Wiring MakeWiring(const Program& program, const Route& route);

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_ROUTE_H_
