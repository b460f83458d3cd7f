// A session: a process of its own that serves one client, and what the agent sees of it.
#ifndef LCP_TVM_AGENT_SESSION_H_
#define LCP_TVM_AGENT_SESSION_H_

#include <signal.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>

#include "descriptor.h"

namespace lcp_tvm::agent {

/*! \brief Exists as long as the process; its end kills whatever the process has started. */
class Session {
 public:
  using Clock = std::chrono::steady_clock;

  /*!
   * \brief Fork a process that runs `serve` on the connection, and nothing else.
   *
   * The caller has one thread. Throws std::system_error.
   */
  Session(Descriptor connection, const std::function<void(int)>& serve);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  /*! \brief Look at process and client; false once the process has ended or was given up. */
  bool IsAlive();
  /*! \brief Whether the client has gone, as far as `IsAlive` has seen. */
  bool IsLeaving() const { return give_up_.has_value(); }
  /*! \brief Hangs up when the client does; -1 when that has been seen. */
  int watched() const { return IsLeaving() ? -1 : connection_.get(); }
  /*! \brief When `IsAlive` must be called, if the client has gone. */
  std::optional<Clock::time_point> deadline() const { return give_up_; }

 private:
  /*! \brief Our copy of the connection, to notice its end by. */
  Descriptor connection_;
  pid_t process_ = -1;
  std::optional<Clock::time_point> give_up_;
};

}  // namespace lcp_tvm::agent
#endif  // LCP_TVM_AGENT_SESSION_H_
