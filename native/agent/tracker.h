// This worker at a TVM RPC tracker, where clients ask for a board by its key.
//
// The tracker takes requests as JSON texts after their length (tvm/rpc/tracker.py). An offer has a
// secret: the client that is given it opens its session with it. When the secret is used up, a
// fresh one is offered. Nothing here waits: the caller polls the socket and calls `Step`.
#ifndef LCP_TVM_AGENT_TRACKER_H_
#define LCP_TVM_AGENT_TRACKER_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "address.h"
#include "descriptor.h"

namespace lcp_tvm::agent {

using Clock = std::chrono::steady_clock;

/*! \brief What has come from a tracker. */
struct TrackerAnswer {
  /*! \brief Whether all of an answer is there. */
  bool complete = false;
  /*! \brief What is wrong with it; empty: nothing. */
  std::string_view wrong;
  /*! \brief Its JSON text; points into the bytes. */
  std::string_view text;
};

/*! \brief Read an answer, or the first part of one. Pure. */
TrackerAnswer ReadTrackerAnswer(std::string_view bytes);

class Tracker {
 public:
  /*! \brief `key` is the kind of board; `port` is where the worker listens. */
  Tracker(const Address& tracker, std::string name, const std::string& key, uint16_t port);

  /*! \brief What to poll for; -1 and 0 when nothing. */
  int socket() const { return socket_.get(); }
  short events() const;
  /*! \brief When `Step` must be called, whatever happens. */
  Clock::time_point deadline() const { return deadline_; }

  /*! \brief Go on. `busy`: no client can be taken now, so a lost secret need not be replaced. */
  void Step(bool busy);

  /*! \brief Whether a client has the secret of the current offer. */
  bool Knows(std::string_view secret) const { return !secret_.empty() && secret == secret_; }
  /*! \brief A client has come with the secret. */
  void Used() { used_ = true; }

 private:
  enum class State { kAway, kConnecting, kGreeting, kIntroducing, kOffering, kResting, kAsking };

  void Connect();
  void Greet();
  void Offer();
  void Ask(const std::string& request, State next);
  void Heard(std::string_view answer, bool busy);
  void Receive(bool busy);
  void Leave(const std::string& why);
  void Enter(State state, std::chrono::milliseconds time);

  const Address tracker_;
  const std::string name_;
  const std::string key_;
  const uint16_t port_;
  State state_ = State::kAway;
  Clock::time_point deadline_ = Clock::now();
  Descriptor socket_;
  std::string host_;
  std::string received_;
  std::string secret_;
  bool used_ = false;
  bool taken_ = false;
  Clock::time_point taken_at_;
  bool told_ = false;
};

}  // namespace lcp_tvm::agent
#endif  // LCP_TVM_AGENT_TRACKER_H_
