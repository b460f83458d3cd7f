// The first words on a connection: HELLO from who opens it, WELCOME or REFUSED from who is opened.
#ifndef LCP_TVM_TRANSPORT_GREETING_H_
#define LCP_TVM_TRANSPORT_GREETING_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "endpoint.h"
#include "frame.h"
#include "socket.h"

namespace lcp_tvm::transport {

/*! \brief Reads one message of text, and not a byte of what follows. Knows no sockets. */
class Greeting {
 public:
  enum class State { kReading, kComplete, kBroken };

  uint8_t* data() { return bytes_.data() + have_; }
  /*! \brief Bytes that are wanted next; at least one while reading. */
  size_t wanted() const { return want_ - have_; }
  State Took(size_t bytes);

  /*! \brief When complete: the message. */
  const Header& header() const { return header_; }
  std::string text() const;
  /*! \brief When broken: why. */
  const std::string& why() const { return why_; }

 private:
  std::array<uint8_t, kHeaderBytes + kMaxText> bytes_{};
  size_t have_ = 0;
  size_t want_ = kHeaderBytes;
  Header header_;
  std::string why_;
};

/*! \brief Say some words on a new socket, whose buffer has room for them; false: it is gone. */
bool Say(int fd, Header header, const std::string& text);

/*! \brief Why a node cannot be let in by its HELLO; empty when it can. */
std::string HelloProblem(const EndpointOptions& options, const Greeting& hello);

/*!
 * \brief Open a connection to a peer and greet it, until `deadline_ns`.
 * Throws std::runtime_error with the address and the reason.
 */
Fd OpenAndGreet(const EndpointOptions& options, int peer, const std::string& host, uint16_t port,
                int64_t deadline_ns);

}  // namespace lcp_tvm::transport
#endif  // LCP_TVM_TRANSPORT_GREETING_H_
