// Threads that lend a hand: the parallel loops of a task's kernels have the cores that no other
// task of the node has.
//
// TVM's own pool would have as many threads for each thread that calls it, each bound to a core,
// and would keep them spinning. Here the threads of all tasks are no more than the node's cores, as
// far as is known when a loop begins.
#ifndef LCP_TVM_WORKER_TEAM_H_
#define LCP_TVM_WORKER_TEAM_H_

#include <tvm/ffi/error.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace lcp_tvm::worker {

/*! \brief The part of TVM's c_backend_api.h that parallel loops need. */
struct LoopEnvironment {
  void* sync_handle;
  int32_t shares;
};
/*! \brief Computes one share of a loop; not 0: it has raised an error in its thread. */
using LoopBody = int (*)(int share, LoopEnvironment* environment, void* data);
using LoopLauncher = int (*)(LoopBody body, void* data, int shares);

class Team {
 public:
  /*! \brief Helpers for a node of so many cores; one less, since who calls works too. */
  explicit Team(int cores);
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;
  ~Team();

  /*! \brief While it lives its thread has a task of the node, whose loops the team shares. */
  class Member {
   public:
    explicit Member(Team* team);
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;
    ~Member();

   private:
    Team* const team_;
  };

  /*!
   * \brief Run all shares of a loop, as kernels call TVMBackendParallelLaunch; outside of a task in
   * the calling thread alone. How many shares there are is not asked for: `unused`.
   */
  static int Launch(LoopBody body, void* data, int unused);

 private:
  /*! \brief A loop under way. Its last user in a helper is who takes `left` to 0. */
  struct Loop {
    LoopBody body;
    void* data;
    LoopEnvironment environment;
    int next;
    std::optional<tvm::ffi::Error> error;
    std::atomic<int> left;
  };

  int Run(LoopBody body, void* data);
  void Help();

  const int cores_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  /*! \brief Loops with shares that nobody has begun. */
  std::deque<Loop*> loops_;
  /*! \brief Such shares; for a look without the lock. */
  std::atomic<int> open_{0};
  int members_ = 0;
  int helping_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> helpers_;
};

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_TEAM_H_
