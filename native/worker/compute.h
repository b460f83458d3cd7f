// Calls of functions on a node's compute threads, at the pace of the board that it plays.
#ifndef LCP_TVM_WORKER_COMPUTE_H_
#define LCP_TVM_WORKER_COMPUTE_H_

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "functions.h"
#include "gather.h"
#include "memory.h"
#include "program.h"

namespace lcp_tvm::worker {

/*! \brief A task of a frame that has all that it reads. */
struct Job {
  uint64_t frame = 0;
  int task = 0;
  bool is_fallback = false;
  /*! \brief Taken from another node's queue. */
  bool is_stolen = false;
  std::unique_ptr<Gather> gather;
  /*! \brief For what the call needs beside the arguments that are there. */
  Charge charge;
};

/*! \brief What has become of a job. */
struct Outcome {
  /*! \brief By write of the task. */
  std::vector<BlockRef> results;
  /*! \brief Why there are none; empty if there are. */
  std::string problem;
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
  /*! \brief By how much the call missed its pace. */
  int64_t late_ns = 0;
};

class Compute {
 public:
  /*! \brief All of them outlive this. */
  Compute(const Program& program, Functions* functions)
      : program_(program), functions_(functions) {}

  /*! \brief What a job will take beside what has come for it. */
  uint64_t BytesOf(const Job& job) const;

  /*! \brief Call a job's function on a thread of the node, and keep the pace. Does not throw. */
  Outcome Run(Job* job, int thread);

  /*! \brief Keep no pace any more: the node comes to an end. */
  void Hurry();

 private:
  std::vector<BlockRef> Call(Job* job, int thread);
  void KeepPace(uint32_t function, Outcome* outcome);

  const Program& program_;
  Functions* functions_;
  std::mutex mutex_;
  std::condition_variable hurry_;
  bool hurrying_ = false;
};

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_COMPUTE_H_
