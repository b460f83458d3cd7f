#include "address.h"

#include <netdb.h>
#include <netinet/in.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace lcp_tvm::agent {

namespace {

/*! \brief One of an address's two texts, numeric. */
std::string NameOf(const Address& address, bool host) {
  char text[NI_MAXHOST] = "";
  getnameinfo(address.get(), address.size, host ? text : nullptr, host ? sizeof(text) : 0,
              host ? nullptr : text, host ? 0 : sizeof(text), NI_NUMERICHOST | NI_NUMERICSERV);
  return text;
}

}  // namespace

std::string Address::Host() const { return NameOf(*this, true); }

uint16_t Address::Port() const {
  return static_cast<uint16_t>(std::strtoul(NameOf(*this, false).c_str(), nullptr, 10));
}

Address Resolve(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int status = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (status != 0) {
    throw std::runtime_error(gai_strerror(status));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> list(found, &freeaddrinfo);
  Address address;
  std::memcpy(&address.storage, list->ai_addr, list->ai_addrlen);
  address.size = list->ai_addrlen;
  return address;
}

Address BoundTo(int socket) {
  Address address;
  getsockname(socket, address.get(), &address.size);
  return address;
}

}  // namespace lcp_tvm::agent
