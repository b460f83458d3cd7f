// Sockets as the transport wants them: non-blocking, owned, closed once.
#ifndef LCP_TVM_TRANSPORT_SOCKET_H_
#define LCP_TVM_TRANSPORT_SOCKET_H_

#include <cstdint>
#include <string>

namespace lcp_tvm::transport {

/*! \brief Owns a file descriptor. */
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept;
  Fd& operator=(Fd&& other) noexcept;
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd();

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/*! \brief Listen on a free port of an address of this host. Throws std::system_error. */
Fd Listen(const std::string& host, uint16_t* port);

/*! \brief A connected socket, until `deadline_ns`. Throws std::runtime_error. */
Fd Dial(const std::string& host, uint16_t port, int64_t deadline_ns);

/*! \brief Accept a connection; empty, with errno, when there is none. */
Fd Accept(int listener);

/*! \brief Wait until the socket has one of `events` (poll); false: not by `deadline_ns`. */
bool WaitUntil(int fd, int16_t events, int64_t deadline_ns);

/*! \brief The text of an errno. */
std::string ErrorText(int error);

}  // namespace lcp_tvm::transport
#endif  // LCP_TVM_TRANSPORT_SOCKET_H_
