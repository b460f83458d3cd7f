#include "connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <string>

namespace lcp_tvm::transport {

ssize_t Connection::Read(uint64_t budget, uint64_t* room) {
  iovec parts[2];
  msghdr in{};
  in.msg_iov = parts;
  in.msg_iovlen = static_cast<decltype(in.msg_iovlen)>(reader.Space(&parts));
  if (parts[0].iov_len > budget) {
    parts[0].iov_len = static_cast<size_t>(budget);
    in.msg_iovlen = 1;
  }
  *room = 0;
  for (size_t i = 0; i < static_cast<size_t>(in.msg_iovlen); ++i) {
    *room += parts[i].iov_len;
  }
  return recvmsg(fd.get(), &in, MSG_DONTWAIT);
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

void Connection::Received(const Header& header, const Place& place, const Passage& passage) {
  if (header.kind == Kind::kPing) {
    exchange_->Pong(peer, header);
  } else {
    exchange_->Received(peer, header, place, passage);
  }
}

}  // namespace lcp_tvm::transport
