#include "connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "clock.h"

namespace lcp_tvm::transport {

Reader::State Connection::ReadTurn() {
  uint64_t budget = Outbox::kTurnBytes;
  for (;;) {
    iovec parts[2];
    msghdr in{};
    in.msg_iov = parts;
    in.msg_iovlen = static_cast<decltype(in.msg_iovlen)>(reader_.Space(&parts));
    if (parts[0].iov_len > budget) {
      parts[0].iov_len = static_cast<size_t>(budget);
      in.msg_iovlen = 1;
    }
    const size_t room = parts[0].iov_len + (in.msg_iovlen > 1 ? parts[1].iov_len : 0);
    const ssize_t count = recvmsg(fd.get(), &in, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
      return Reader::State::kReading;
    }
    if (count <= 0) {
      why_ = count < 0             ? ErrorText(errno)
             : reader_.InMessage() ? "it closed the connection in the middle of a message"
                                   : "it closed the connection";
      return Reader::State::kBroken;
    }
    const auto bytes = static_cast<size_t>(count);
    const int64_t now_ns = NowNs();
    exchange_->Heard(peer, now_ns);
    const Reader::State state = Judge(reader_.Took(bytes, now_ns));
    budget -= std::min<uint64_t>(budget, bytes);
    // epoll tells if there is more.
    if (state != Reader::State::kReading || bytes < room || budget == 0) {
      return state;
    }
  }
}

Reader::State Connection::Retry() { return Judge(reader_.Retry(NowNs())); }

Reader::State Connection::Judge(Reader::State state) {
  if (state == Reader::State::kBroken) {
    why_ = "it broke a rule: " + reader_.why();
  }
  return state;
}

bool Connection::End() {
  if (ended_.exchange(true)) {
    return false;
  }
  shutdown(fd.get(), SHUT_RDWR);
  return true;
}

Place Connection::Receive(const Header& header) {
  Place place;
  if (ended_) {
    return place;
  }
  switch (header.kind) {
    case Kind::kHello:
    case Kind::kWelcome:
    case Kind::kRefused:
      place.why = std::string(Name(header.kind)) + " after the greeting";
      return place;
    case Kind::kPing:
      place.verdict = Place::Verdict::kTake;
      return place;
    default:
      return exchange_->Receive(peer, header);
  }
}

void Connection::Received(const Header& header, Place place, const Passage& passage) {
  if (header.kind == Kind::kPing) {
    exchange_->Pong(peer, header);
  } else {
    exchange_->Received(peer, header, std::move(place), passage);
  }
}

}  // namespace lcp_tvm::transport
