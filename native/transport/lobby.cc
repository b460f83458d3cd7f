#include "lobby.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

namespace lcp_tvm::transport {

namespace {

constexpr size_t kMaxStrangers = 32;
/*! \brief Without descriptors left, accepting waits so long. */
constexpr int64_t kAcceptPauseNs = 200000000;
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

}  // namespace

Lobby::Lobby(EndpointOptions options, Poller* poller, uint64_t listen_id)
    : options_(std::move(options)),
      poller_(poller),
      listen_id_(listen_id),
      listener_(Listen(options_.host, &port_)) {
  poller_->Add(listener_, listen_id_);
}

void Lobby::AcceptAll(std::atomic<uint64_t>* next_id, int64_t now_ns) {
  Fd fd;
  while ((fd = Accept(listener_.get()))) {
    if (strangers_.size() == kMaxStrangers) {
      strangers_.erase(strangers_.begin());
    }
    const uint64_t id = (*next_id)++;
    poller_->Add(fd, id);
    Stranger& stranger = strangers_[id];
    stranger.fd = std::move(fd);
    stranger.deadline_ns = now_ns + int64_t{options_.hello_timeout_ms} * 1000000;
  }
  if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
    accept_again_ns_ = now_ns + kAcceptPauseNs;
    poller_->Change(listener_, listen_id_, 0);
  }
}

int Lobby::Read(uint64_t id) {
  Stranger& stranger = strangers_.at(id);
  Greeting& greeting = stranger.greeting;
  uint8_t rest[512];
  const ssize_t count =
      stranger.refused ? recv(stranger.fd.get(), rest, sizeof(rest), MSG_DONTWAIT)
                       : recv(stranger.fd.get(), greeting.data(), greeting.wanted(), MSG_DONTWAIT);
  if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) {
    strangers_.erase(id);
    return -1;
  }
  if (count < 0 || stranger.refused) {
    return -1;
  }
  const Greeting::State state = greeting.Took(static_cast<size_t>(count));
  if (state == Greeting::State::kReading) {
    return -1;
  }
  const std::string problem =
      state == Greeting::State::kBroken ? greeting.why() : HelloProblem(options_, greeting);
  if (!problem.empty()) {
    Refuse(id, problem);
    return -1;
  }
  return static_cast<int>(greeting.header().task);
}

void Lobby::Refuse(uint64_t id, const std::string& why) {
  Stranger& stranger = strangers_.at(id);
  Header header;
  header.kind = Kind::kRefused;
  header.run = options_.run;
  Say(stranger.fd.get(), header, why);
  // Closing now could destroy these words on their way, should more have come than was read.
  shutdown(stranger.fd.get(), SHUT_WR);
  stranger.refused = true;
}

Fd Lobby::Leave(uint64_t id) {
  Fd fd = std::move(strangers_.at(id).fd);
  strangers_.erase(id);
  return fd;
}

void Lobby::Tick(int64_t now_ns) {
  while (!strangers_.empty() && strangers_.begin()->second.deadline_ns <= now_ns) {
    strangers_.erase(strangers_.begin());
  }
  if (now_ns >= accept_again_ns_) {
    accept_again_ns_ = kNever;
    poller_->Change(listener_, listen_id_, EPOLLIN);
  }
}

int64_t Lobby::Deadline() const {
  return std::min(accept_again_ns_,
                  strangers_.empty() ? kNever : strangers_.begin()->second.deadline_ns);
}

}  // namespace lcp_tvm::transport
