#include "supervisor.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "handshake.h"
#include "report.h"

namespace lcp_tvm::agent {

namespace {

/*! \brief A client has so long for its first words, and then waits so long for an answer. */
constexpr std::chrono::seconds kGreetingTime{5};
/*! \brief Most clients that are greeted at a time; a further one drives out the oldest. */
constexpr size_t kMaxGuests = 16;

/*! \brief A silent peer is asked so often whether it is there; three times without answer end it.
 */
constexpr int kKeepaliveSeconds = 10;
constexpr int kKeepaliveProbes = 3;

void SetOption(int socket, int level, int option, int value) {
  setsockopt(socket, level, option, &value, sizeof(value));
}

/*! \brief Have the system end a connection whose peer lost its power or its cable. */
void NoticeLostPeers(int socket) {
  SetOption(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetOption(socket, IPPROTO_TCP, TCP_KEEPIDLE, kKeepaliveSeconds);
  SetOption(socket, IPPROTO_TCP, TCP_KEEPINTVL, kKeepaliveSeconds);
  SetOption(socket, IPPROTO_TCP, TCP_KEEPCNT, kKeepaliveProbes);
  // The same for a peer that does not take what was sent.
  SetOption(socket, IPPROTO_TCP, TCP_USER_TIMEOUT,
            (kKeepaliveProbes + 1) * kKeepaliveSeconds * 1000);
}

/*! \brief A descriptor on which SIGTERM, SIGINT and SIGCHLD are read. */
Descriptor CatchSignals() {
  signal(SIGPIPE, SIG_IGN);
  sigset_t caught;
  sigemptyset(&caught);
  for (const int number : {SIGTERM, SIGINT, SIGCHLD}) {
    sigaddset(&caught, number);
  }
  sigprocmask(SIG_BLOCK, &caught, nullptr);
  Descriptor signals(signalfd(-1, &caught, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals.is_open()) {
    throw std::system_error(errno, std::generic_category(), "signals cannot be read");
  }
  return signals;
}

void TurnAway(const std::string& why) { Say("worker: a client was turned away: " + why); }

}  // namespace

Supervisor::Supervisor(Descriptor listener, std::optional<Tracker> tracker, int lifeline,
                       Events events)
    : listener_(std::move(listener)),
      signals_(CatchSignals()),
      tracker_(std::move(tracker)),
      lifeline_(lifeline),
      events_(std::move(events)) {}

void Supervisor::Run() {
  while (!stopping_) {
    if (tracker_.has_value()) {
      tracker_->Step(session_.has_value());
    }
    Wait();
    Accept();
    WatchSession();
    Hear();
  }
  session_.reset();
}

void Supervisor::Wait() {
  // Entries with a negative number are skipped by poll.
  std::vector<pollfd> polled = {{signals_.get(), POLLIN, 0},
                                {listener_.get(), POLLIN, 0},
                                {lifeline_, 0, 0},
                                {session_.has_value() ? session_->watched() : -1, POLLRDHUP, 0}};
  if (tracker_.has_value()) {
    polled.push_back({tracker_->socket(), tracker_->events(), 0});
  }
  for (const Guest& guest : guests_) {
    polled.push_back({guest.connection.get(), POLLIN, 0});
  }
  const auto left = NextDeadline() - Clock::now();
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  poll(polled.data(), polled.size(), static_cast<int>(std::max<int64_t>(wait, 0)));
  signalfd_siginfo caught;
  while (read(signals_.get(), &caught, sizeof(caught)) == sizeof(caught)) {
    stopping_ = stopping_ || caught.ssi_signo != SIGCHLD;
  }
  stopping_ = stopping_ || polled[2].revents != 0;
}

Clock::time_point Supervisor::NextDeadline() const {
  Clock::time_point next = Clock::now() + std::chrono::minutes(1);
  for (const Guest& guest : guests_) {
    next = std::min(next, guest.deadline);
  }
  if (session_.has_value()) {
    next = std::min(next, session_->deadline().value_or(next));
  }
  return tracker_.has_value() ? std::min(next, tracker_->deadline()) : next;
}

void Supervisor::Accept() {
  Descriptor connection(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!connection.is_open()) {
    return;
  }
  if (guests_.size() == kMaxGuests) {
    TurnAway("too many are waiting");
    guests_.pop_front();
  }
  SetOption(connection.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  NoticeLostPeers(connection.get());
  guests_.push_back({std::move(connection), "", Clock::now() + kGreetingTime});
}

void Supervisor::WatchSession() {
  if (session_.has_value() && !session_->IsAlive()) {
    session_.reset();
    events_.ended();
  }
}

void Supervisor::Hear() {
  for (auto guest = guests_.begin(); guest != guests_.end();) {
    guest = HearOne(&*guest) ? std::next(guest) : guests_.erase(guest);
  }
}

/*! \brief Go on with a client; false when it has been dealt with. */
bool Supervisor::HearOne(Guest* guest) {
  for (;;) {
    const Greeting greeting = ReadGreeting(guest->bytes);
    if (!greeting.wrong.empty()) {
      TurnAway(std::string(greeting.wrong));
      return false;
    }
    if (greeting.missing == 0) {
      return Decide(guest, std::string(greeting.key));
    }
    char buffer[kMaxKey];
    const size_t wanted = std::min(greeting.missing, sizeof(buffer));
    const ssize_t count = recv(guest->connection.get(), buffer, wanted, 0);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) {
      TurnAway("it left before it had introduced itself");
      return false;
    }
    if (count < 0) {
      break;
    }
    guest->bytes.append(buffer, static_cast<size_t>(count));
  }
  if (Clock::now() < guest->deadline) {
    return true;
  }
  TurnAway("it did not introduce itself within 5 s");
  return false;
}

/*! \brief Answer a client; true when it has to wait for the last one to be gone. */
bool Supervisor::Decide(Guest* guest, const std::string& key) {
  const auto refuse = [guest](Reply reply) {
    const std::string bytes = ReplyBytes(reply, "");
    send(guest->connection.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return false;
  };
  const bool known = key.empty() || (tracker_.has_value() && tracker_->Knows(key));
  if (session_.has_value() && !session_->IsLeaving()) {
    return refuse(Reply::kBusy);
  }
  if (!known) {
    return refuse(Reply::kWrongKey);
  }
  if (session_.has_value()) {
    guest->deadline = session_->deadline().value_or(guest->deadline);
    return true;
  }
  if (!key.empty() && tracker_.has_value()) {
    tracker_->Used();
  }
  session_.emplace(std::move(guest->connection), events_.serve);
  return false;
}

}  // namespace lcp_tvm::agent
