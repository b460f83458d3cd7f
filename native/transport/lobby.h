// Connections that have come but not said who they are. They are few, and have little time: when
// there are too many, the one that came first goes.
#ifndef LCP_TVM_TRANSPORT_LOBBY_H_
#define LCP_TVM_TRANSPORT_LOBBY_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "greeting.h"
#include "socket.h"

namespace lcp_tvm::transport {

class Lobby {
 public:
  explicit Lobby(EndpointOptions options) : options_(std::move(options)) {}

  /*! \brief Take in a stranger under a number that is larger than all before. */
  void Enter(uint64_t id, Fd fd, int64_t now_ns);
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
  void Expire(int64_t now_ns);
  /*! \brief When the next one's time is over; the largest number when there is none. */
  int64_t Deadline() const;

 private:
  struct Stranger {
    Fd fd;
    int64_t deadline_ns = 0;
    bool refused = false;
    Greeting greeting;
  };

  EndpointOptions options_;
  /*! \brief By number, hence by age and deadline. */
  std::map<uint64_t, Stranger> strangers_;
};

}  // namespace lcp_tvm::transport
#endif  // LCP_TVM_TRANSPORT_LOBBY_H_
