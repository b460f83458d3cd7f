// Connections of a node to its peers: one thread that waits for all sockets (epoll).
//
// Sending never blocks the caller and copies no elements: a message keeps its tensor alive until
// the last byte has left. Receiving writes straight to where the handler says. A connection from
// which the handler wants nothing now is not read: its sender waits (back-pressure).
#ifndef LCP_TVM_TRANSPORT_ENDPOINT_H_
#define LCP_TVM_TRANSPORT_ENDPOINT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "handler.h"

namespace lcp_tvm::transport {

struct EndpointOptions {
  std::string host = "0.0.0.0";
  uint64_t run = 0;
  int node = 0;
  int nodes = 0;
  std::string version;
  /*! \brief Strangers have so long to say HELLO. */
  int hello_timeout_ms = 5000;
};

class Endpoint {
 public:
  /*! \brief Listen on a free port. `handler` outlives the endpoint. Throws std::system_error. */
  Endpoint(EndpointOptions options, Handler* handler);
  ~Endpoint();  // ends the thread, closes everything

  uint16_t port() const;

  /*!
   * \brief Open the connection to a peer of a lower number, HELLO and WELCOME included. Blocks the
   * caller. Throws std::runtime_error.
   */
  void Connect(int peer, const std::string& host, uint16_t port, int timeout_ms);

  /*! \brief Wait until a peer that opens the connection itself has done so; false: not in time. */
  bool WaitFor(int peer, int timeout_ms);

  /*!
   * \brief Send after all earlier messages to this peer. Any thread. Dropped, and `keep` let go at
   * once, if it is not there. The header's run, box and size of payload are filled in.
   */
  void Send(int peer, const Header& header, Payload payload = {});
  /*! \brief Send a few words of text, which are copied. */
  void SendText(int peer, const Header& header, const std::string& text);

  /*! \brief Ask the handler again about messages that wait. Any thread. */
  void Resume();

  /*! \brief Close the connection to a peer; what is queued for it is dropped. Any thread. */
  void Close(int peer);

  /*! \brief When the peer was last heard, in ns of the steady clock; 0: never. */
  int64_t HeardNs(int peer) const;
  /*! \brief Bytes that wait to be sent to a peer. */
  uint64_t Queued(int peer) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lcp_tvm::transport
#endif  // LCP_TVM_TRANSPORT_ENDPOINT_H_
