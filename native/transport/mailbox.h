// What other threads have for the endpoint's thread, and what wakes it.
#ifndef LCP_TVM_TRANSPORT_MAILBOX_H_
#define LCP_TVM_TRANSPORT_MAILBOX_H_

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "connection.h"
#include "outbox.h"
#include "socket.h"

namespace lcp_tvm::transport {

struct Mail {
  std::vector<std::shared_ptr<Connection>> joined;
  /*! \brief Connections of which the socket took no more for now. */
  std::vector<std::shared_ptr<Connection>> unwritten;
  std::vector<std::shared_ptr<Connection>> closed;
  /*! \brief Messages that have left, and to whom. */
  std::vector<std::pair<int, Message>> sent;
  bool resume = false;
  bool stop = false;
};

class Mailbox {
 public:
  /*! \brief Throws std::system_error. */
  Mailbox();

  /*! \brief Readable when mail came while the endpoint's thread slept. */
  const Fd& wake() const { return wake_; }

  /*! \brief Change the mail by `put(Mail*)`. Any thread. */
  template <typename Put>
  void Post(Put put) {
    bool asleep = false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      put(&mail_);
      waits_ = true;
      asleep = std::exchange(asleep_, false);
    }
    if (asleep) {
      Wake();
    }
  }

  /*! \brief Before waiting; false: there is mail already. */
  bool Sleep();
  /*! \brief After waiting: all mail that has come. */
  Mail Take();
  /*! \brief Once `wake` is readable. */
  void Hush() const;

 private:
  void Wake() const;

  Fd wake_;
  std::mutex mutex_;
  Mail mail_;
  bool waits_ = false;
  bool asleep_ = false;
};

}  // namespace lcp_tvm::transport
#endif  // LCP_TVM_TRANSPORT_MAILBOX_H_
