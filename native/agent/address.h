// Addresses of TCP sockets.
#ifndef LCP_TVM_AGENT_ADDRESS_H_
#define LCP_TVM_AGENT_ADDRESS_H_

#include <sys/socket.h>

#include <cstdint>
#include <string>

namespace lcp_tvm::agent {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }
  /*! \brief The numeric host. */
  std::string Host() const;
  uint16_t Port() const;
};

/*! \brief Look a host up; throws std::runtime_error with the reason. */
Address Resolve(const std::string& host, uint16_t port);

/*! \brief The address a socket is bound to. */
Address BoundTo(int socket);

}  // namespace lcp_tvm::agent
#endif  // LCP_TVM_AGENT_ADDRESS_H_
