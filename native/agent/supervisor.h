// The agent: owns the port, never serves itself.
//
// It greets clients, gives one of them a session in a process of its own, and tells the others that
// it is busy. However a session ends, crashed or frozen with its client gone, the next client finds
// the port ready. No client can hold the others up: nothing waits but poll.
#ifndef LCP_TVM_AGENT_SUPERVISOR_H_
#define LCP_TVM_AGENT_SUPERVISOR_H_

#include <functional>
#include <list>
#include <optional>
#include <string>

#include "descriptor.h"
#include "session.h"
#include "tracker.h"

namespace lcp_tvm::agent {

/*! \brief A client that has not been answered yet. */
struct Guest {
  Descriptor connection;
  std::string bytes;
  Clock::time_point deadline;
};

class Supervisor {
 public:
  struct Events {
    /*! \brief Runs in the session's process: serve this client, which has not been answered. */
    std::function<void(int)> serve;
    /*! \brief A session has ended. */
    std::function<void()> ended;
  };

  /*!
   * \brief Serve clients of a listening socket.
   * \param lifeline A pipe; the agent ends when nobody holds its other end; -1 for none.
   */
  Supervisor(Descriptor listener, std::optional<Tracker> tracker, int lifeline, Events events);

  /*! \brief Serve until SIGTERM or SIGINT, or the lifeline hangs up. Throws std::system_error. */
  void Run();

 private:
  void Wait();
  void Accept();
  void Hear();
  bool HearOne(Guest* guest);
  bool Decide(Guest* guest, const std::string& key);
  void WatchSession();
  Clock::time_point NextDeadline() const;

  Descriptor listener_;
  Descriptor signals_;
  std::optional<Tracker> tracker_;
  const int lifeline_;
  const Events events_;
  std::list<Guest> guests_;
  std::optional<Session> session_;
  bool stopping_ = false;
};

}  // namespace lcp_tvm::agent
#endif  // LCP_TVM_AGENT_SUPERVISOR_H_
