#include "alarm.h"

#include <chrono>
#include <utility>

namespace lcp_tvm::worker {

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Alarm::Alarm(std::function<void()> ring) : ring_(std::move(ring)), thread_([this] { Run(); }) {}

void Alarm::RingBy(int64_t time_ns) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (time_ns >= next_ns_) {
      return;
    }
    next_ns_ = time_ns;
  }
  changed_.notify_one();
}

void Alarm::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Alarm::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_) {
    if (next_ns_ == kNever) {
      changed_.wait(lock);
    } else if (NowNs() < next_ns_) {
      const std::chrono::steady_clock::time_point when{std::chrono::nanoseconds(next_ns_)};
      changed_.wait_until(lock, when);
    } else {
      next_ns_ = kNever;
      lock.unlock();
      ring_();
      lock.lock();
    }
  }
}

}  // namespace lcp_tvm::worker
