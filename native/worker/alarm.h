// A thread that calls a function at the times that it is asked to.
#ifndef LCP_TVM_WORKER_ALARM_H_
#define LCP_TVM_WORKER_ALARM_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <limits>
#include <mutex>
#include <thread>

namespace lcp_tvm::worker {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

/*! \brief Now, in ns of the steady clock. */
int64_t NowNs();

class Alarm {
 public:
  /*! \brief `ring` does not throw; it is never called under a lock of this. */
  explicit Alarm(std::function<void()> ring);
  ~Alarm() { Stop(); }

  /*! \brief Ring at this time, if not before. Any thread, also from `ring`. */
  void RingBy(int64_t time_ns);
  /*! \brief Ring no more; when this returns, no ringing is under way. */
  void Stop();

 private:
  void Run();

  std::function<void()> ring_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t next_ns_ = kNever;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_ALARM_H_
