#include "peers.h"

#include <chrono>
#include <utility>

namespace lcp_tvm::transport {

Peers::Peers(int nodes)
    : connections_(static_cast<size_t>(nodes)), heard_ns_(static_cast<size_t>(nodes)) {}

std::shared_ptr<Connection> Peers::Find(int node) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return Known(node) ? connections_[static_cast<size_t>(node)] : nullptr;
}

std::shared_ptr<Connection> Peers::Remove(int node) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return Known(node) ? std::exchange(connections_[static_cast<size_t>(node)], nullptr) : nullptr;
}

void Peers::Remove(const Connection& connection) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::shared_ptr<Connection>& found = connections_[static_cast<size_t>(connection.peer)];
  if (found.get() == &connection) {
    found.reset();
  }
}

bool Peers::WaitFor(int node, int timeout_ms) const {
  std::unique_lock<std::mutex> lock(mutex_);
  return arrived_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [&] {
    return Known(node) && connections_[static_cast<size_t>(node)] != nullptr;
  });
}

}  // namespace lcp_tvm::transport
