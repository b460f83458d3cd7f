// Who is connected, by node, and when each was heard last. Any thread.
#ifndef LCP_TVM_TRANSPORT_PEERS_H_
#define LCP_TVM_TRANSPORT_PEERS_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "connection.h"

namespace lcp_tvm::transport {

class Peers {
 public:
  explicit Peers(int nodes);

  /*! \brief The connection to a node; null if there is none, or no such node. */
  std::shared_ptr<Connection> Find(int node) const;
  /*! \brief Let a node be found; before that, `first()` is done. */
  template <typename First>
  void Add(const std::shared_ptr<Connection>& connection, First first) {
    const std::lock_guard<std::mutex> lock(mutex_);
    first();
    connections_[static_cast<size_t>(connection->peer)] = connection;
    arrived_.notify_all();
  }
  /*! \brief Let a node no longer be found; the connection it had. */
  std::shared_ptr<Connection> Remove(int node);
  /*! \brief The same, if it still has this connection. */
  void Remove(const Connection& connection);
  /*! \brief Wait until a node can be found; false: not in time. */
  bool WaitFor(int node, int timeout_ms) const;

  void Heard(int node, int64_t now_ns) { heard_ns_[static_cast<size_t>(node)] = now_ns; }
  int64_t HeardNs(int node) const {
    return Known(node) ? heard_ns_[static_cast<size_t>(node)].load() : 0;
  }

 private:
  bool Known(int node) const { return node >= 0 && static_cast<size_t>(node) < heard_ns_.size(); }

  mutable std::mutex mutex_;
  mutable std::condition_variable arrived_;
  std::vector<std::shared_ptr<Connection>> connections_;
  std::vector<std::atomic<int64_t>> heard_ns_;
};

}  // namespace lcp_tvm::transport
#endif  // LCP_TVM_TRANSPORT_PEERS_H_
