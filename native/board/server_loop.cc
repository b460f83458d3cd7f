// TVM RPC on a socket: the part of TVM's runtime that serves a session, without the one that asks
// for it.
#include <sys/socket.h>
#include <tvm/ffi/error.h>
#include <tvm/ffi/reflection/registry.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "rpc/rpc_endpoint.h"

namespace lcp_tvm::board {

namespace {

/*! \brief Owns a connected socket. */
class SocketChannel final : public tvm::runtime::RPCChannel {
 public:
  explicit SocketChannel(int socket) : socket_(socket) {}
  ~SocketChannel() final { close(socket_); }
  SocketChannel(const SocketChannel&) = delete;
  SocketChannel& operator=(const SocketChannel&) = delete;

  size_t Send(const void* data, size_t size) final {
    return Done([&] { return send(socket_, data, size, MSG_NOSIGNAL); });
  }
  size_t Recv(void* data, size_t size) final {
    return Done([&] { return recv(socket_, data, size, 0); });
  }

 private:
  template <class Call>
  static size_t Done(const Call& call) {
    ssize_t bytes = call();
    while (bytes < 0 && errno == EINTR) {
      bytes = call();
    }
    if (bytes < 0) {
      TVM_FFI_THROW(RuntimeError) << "connection of the session: " << std::strerror(errno);
    }
    return static_cast<size_t>(bytes);
  }

  const int socket_;
};

void ServerLoop(int socket) {
  tvm::runtime::RPCEndpoint::Create(std::make_unique<SocketChannel>(socket), "lcp-agent", "")
      ->ServerLoop();
}

TVM_FFI_STATIC_INIT_BLOCK() { tvm::ffi::reflection::GlobalDef().def("rpc.ServerLoop", ServerLoop); }

}  // namespace

}  // namespace lcp_tvm::board
