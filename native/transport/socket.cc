#include "socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "clock.h"

namespace lcp_tvm::transport {

namespace {

// A silent connection is probed after 10 s and given up 15 s later. One whose bytes nobody
// acknowledges, or whose peer makes no room for more, is given up after two minutes: by then every
// frame's deadline has passed.
constexpr int kKeepIdleS = 10;
constexpr int kKeepIntervalS = 5;
constexpr int kKeepProbes = 3;
constexpr int kUserTimeoutMs = 120000;
// What the system holds and has not sent: little, so that "sent" means sent, and boards have
// memory.
constexpr int kMaxUnsentBytes = 1 << 17;
constexpr int kBacklog = 64;

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Addresses Resolve(const std::string& host, uint16_t port, int flags, std::string* why) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int status = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (status != 0) {
    *why = status == EAI_SYSTEM ? ErrorText(errno) : gai_strerror(status);
  }
  return {found, freeaddrinfo};
}

Fd Open(const addrinfo& address) {
  return Fd(socket(address.ai_family, address.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                   address.ai_protocol));
}

void SetOption(int fd, int level, int option, int value) {
  // None of these options is needed for right results, so a refusal is no error.
  setsockopt(fd, level, option, &value, sizeof(value));
}

void Configure(int fd) {
  SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  SetOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, kKeepIdleS);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, kKeepIntervalS);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepProbes);
  SetOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, kUserTimeoutMs);
  SetOption(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, kMaxUnsentBytes);
}

/*! \brief Connect to one address; empty with the reason when that fails. */
Fd DialOne(const addrinfo& address, int64_t deadline_ns, std::string* why) {
  Fd fd = Open(address);
  if (!fd) {
    *why = ErrorText(errno);
    return {};
  }
  if (connect(fd.get(), address.ai_addr, address.ai_addrlen) != 0 && errno != EINPROGRESS) {
    *why = ErrorText(errno);
    return {};
  }
  if (!WaitUntil(fd.get(), POLLOUT, deadline_ns)) {
    *why = "no answer in time";
    return {};
  }
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    *why = ErrorText(error);
    return {};
  }
  Configure(fd.get());
  return fd;
}

}  // namespace

Fd::Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Fd& Fd::operator=(Fd&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Fd::~Fd() {
  if (fd_ >= 0) {
    close(fd_);
  }
}

Fd Listen(const std::string& host, uint16_t* port) {
  std::string why;
  const Addresses addresses = Resolve(host, 0, AI_PASSIVE, &why);
  if (addresses == nullptr) {
    throw std::system_error(std::make_error_code(std::errc::address_not_available),
                            host + " (" + why + ")");
  }
  Fd fd = Open(*addresses);
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  if (!fd || bind(fd.get(), addresses->ai_addr, addresses->ai_addrlen) != 0 ||
      listen(fd.get(), kBacklog) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    throw std::system_error(errno, std::generic_category(), "listening on " + host);
  }
  *port = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                                            : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
  return fd;
}

Fd Dial(const std::string& host, uint16_t port, int64_t deadline_ns) {
  std::string why = "no address";
  const Addresses addresses = Resolve(host, port, 0, &why);
  for (const addrinfo* address = addresses.get(); address != nullptr; address = address->ai_next) {
    Fd fd = DialOne(*address, deadline_ns, &why);
    if (fd) {
      return fd;
    }
  }
  throw std::runtime_error(why);
}

Fd Accept(int listener) {
  Fd fd(accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (fd) {
    Configure(fd.get());
  }
  return fd;
}

bool WaitUntil(int fd, int16_t events, int64_t deadline_ns) {
  for (;;) {
    const int64_t left_ms = std::max<int64_t>((deadline_ns - NowNs() + 999999) / 1000000, 0);
    pollfd waited{fd, events, 0};
    const int count = poll(&waited, 1, static_cast<int>(std::min<int64_t>(left_ms, 1000)));
    if (count > 0) {
      return true;
    }
    if (left_ms == 0 || (count < 0 && errno != EINTR)) {
      return false;
    }
  }
}

std::string ErrorText(int error) { return std::generic_category().message(error); }

}  // namespace lcp_tvm::transport
