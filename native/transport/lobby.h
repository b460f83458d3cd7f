// The door: listens, and keeps connections that have come but not said who they are. They are few,
// and have little time: when there are too many, the one that came first goes.
#ifndef LCP_TVM_TRANSPORT_LOBBY_H_
#define LCP_TVM_TRANSPORT_LOBBY_H_

#include <atomic>
#include <cstdint>
#include <limits>
#include <map>
#include <string>

#include "greeting.h"
#include "poller.h"
#include "socket.h"

namespace lcp_tvm::transport {

class Lobby {
 public:
  /*! \brief `poller` outlives this; it tells by `listen_id` to call `AcceptAll`. */
  Lobby(EndpointOptions options, Poller* poller, uint64_t listen_id);

  uint16_t port() const { return port_; }

  /*! \brief Take in all who have come, under numbers from `next_id` on. */
  void AcceptAll(std::atomic<uint64_t>* next_id, int64_t now_ns);
  bool Has(uint64_t id) const { return strangers_.count(id) != 0; }

  /*!
   * \brief Read what a stranger says. The node that it is once its HELLO has come and is right:
   * `Leave` or `Refuse` must follow. Else -1; who breaks a rule is refused.
   */
  int Read(uint64_t id);
  /*! \brief Tell a stranger why it cannot come in. It keeps its time to read that. */
  void Refuse(uint64_t id, const std::string& why);
  /*! \brief Let a stranger out; its socket. */
  Fd Leave(uint64_t id);

  /*! \brief Close those whose time is over. */
  void Tick(int64_t now_ns);
  /*! \brief When to call `Tick` next; the largest number for never. */
  int64_t Deadline() const;

 private:
  struct Stranger {
    Fd fd;
    int64_t deadline_ns = 0;
    bool refused = false;
    Greeting greeting;
  };

  const EndpointOptions options_;
  Poller* const poller_;
  const uint64_t listen_id_;
  uint16_t port_ = 0;
  Fd listener_;
  /*! \brief When to accept again after descriptors ran out. */
  int64_t accept_again_ns_ = std::numeric_limits<int64_t>::max();
  /*! \brief By number, hence by age and deadline. */
  std::map<uint64_t, Stranger> strangers_;
};

}  // namespace lcp_tvm::transport
#endif  // LCP_TVM_TRANSPORT_LOBBY_H_
