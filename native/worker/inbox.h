// What has happened at the client, until somebody asks.
#ifndef LCP_TVM_WORKER_INBOX_H_
#define LCP_TVM_WORKER_INBOX_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "gather.h"

namespace lcp_tvm::worker {

/*! \brief Kinds and fields as docs/runtime.md has them; -1 stands for no frame or node. */
struct Event {
  const char* kind = "";
  int64_t frame = -1;
  int node = -1;
  std::string text;
  /*! \brief Of a frame that is done, its outputs. */
  std::unique_ptr<Gather> outputs;
};

/*! \brief Any thread. */
class Inbox {
 public:
  void Push(Event event) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      events_.push_back(std::move(event));
    }
    changed_.notify_one();
  }

  /*! \brief The oldest event, if one comes in time. */
  std::optional<Event> Pop(std::chrono::milliseconds timeout) {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto due = std::chrono::steady_clock::now() + timeout;
    if (!changed_.wait_until(lock, due, [this] { return !events_.empty(); })) {
      return std::nullopt;
    }
    Event event = std::move(events_.front());
    events_.pop_front();
    return event;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Event> events_;
};

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_INBOX_H_
