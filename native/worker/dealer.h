// What the gateway hands out in work sharing: one region after the other, to the nodes in turn.
//
// A region leaves when the one before has left. Regions sent side by side would all come as late as
// the last.
#ifndef LCP_TVM_WORKER_DEALER_H_
#define LCP_TVM_WORKER_DEALER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <utility>

#include "memory.h"
#include "transport/frame.h"

namespace lcp_tvm::worker {

/*! \brief Called under the node's lock. */
class Dealer {
 public:
  /*! \brief A region on its way to a node: the header's box of the block. */
  struct Parcel {
    int node;
    transport::Header header;
    BlockRef block;
  };

  explicit Dealer(std::function<void(const Parcel&)> post) : post_(std::move(post)) {}

  /*! \brief Send a region when all earlier ones have left. */
  void Send(Parcel parcel);
  /*! \brief A message has left for a peer. */
  void Sent(int peer, const transport::Header& header);
  /*! \brief A peer is gone, and with it what was on its way there. */
  void Lost(int peer);
  void End(uint64_t frame);

 private:
  /*! \brief What is on its way. */
  struct Leaving {
    int node;
    uint64_t frame;
  };

  void PostNext();

  std::function<void(const Parcel&)> post_;
  std::deque<Parcel> waiting_;
  std::optional<Leaving> leaving_;
};

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_DEALER_H_
