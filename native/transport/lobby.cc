#include "lobby.h"

#include <sys/socket.h>

#include <cerrno>
#include <limits>
#include <utility>

namespace lcp_tvm::transport {

namespace {

constexpr size_t kMaxStrangers = 32;

}  // namespace

void Lobby::Enter(uint64_t id, Fd fd, int64_t now_ns) {
  if (strangers_.size() == kMaxStrangers) {
    strangers_.erase(strangers_.begin());
  }
  Stranger& stranger = strangers_[id];
  stranger.fd = std::move(fd);
  stranger.deadline_ns = now_ns + int64_t{options_.hello_timeout_ms} * 1000000;
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

void Lobby::Expire(int64_t now_ns) {
  while (!strangers_.empty() && strangers_.begin()->second.deadline_ns <= now_ns) {
    strangers_.erase(strangers_.begin());
  }
}

int64_t Lobby::Deadline() const {
  return strangers_.empty() ? std::numeric_limits<int64_t>::max()
                            : strangers_.begin()->second.deadline_ns;
}

}  // namespace lcp_tvm::transport
