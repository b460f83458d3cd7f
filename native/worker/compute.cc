#include "compute.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <stdexcept>
#include <utility>

#include "alarm.h"

namespace lcp_tvm::worker {

namespace ffi = tvm::ffi;

uint64_t Compute::BytesOf(const Job& job) const {
  const Task& task = program_.tasks[job.task];
  const Gather::Size arguments = job.gather->Measure(program_);
  uint64_t least = arguments.assembled;
  for (const Write& write : task.writes) {
    least += program_.Bytes(write.tensor, write.box);
  }
  const uint64_t peak = program_.functions[task.way(job.is_fallback).function].peak_bytes;
  return std::max(least, peak > arguments.direct ? peak - arguments.direct : 0);
}

Outcome Compute::Run(Job* job, int thread) {
  Outcome outcome;
  outcome.begin_ns = NowNs();
  try {
    outcome.results = Call(job, thread);
  } catch (const std::bad_alloc&) {
    outcome.problem = "there was no memory for its arguments or results";
  } catch (const ffi::Error& error) {
    outcome.problem = error.message();
  } catch (const std::exception& error) {
    outcome.problem = error.what();
  }
  KeepPace(program_.tasks[job->task].way(job->is_fallback).function, &outcome);
  return outcome;
}

void Compute::Hurry() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    hurrying_ = true;
  }
  hurry_.notify_all();
}

std::vector<BlockRef> Compute::Call(Job* job, int thread) {
  const Task& task = program_.tasks[job->task];
  const FunctionFacts& function = program_.functions[task.way(job->is_fallback).function];
  std::vector<ffi::Tensor> results =
      functions_->Call(function.name, job->gather->Arguments(program_), thread);
  if (results.size() != task.writes.size()) {
    throw std::runtime_error("it gave " + std::to_string(results.size()) + " results, not " +
                             std::to_string(task.writes.size()));
  }
  std::vector<BlockRef> blocks;
  for (size_t i = 0; i < results.size(); ++i) {
    const Write& write = task.writes[i];
    const std::string problem =
        Mismatch(*results[i].GetDLTensorPtr(), program_.tensors[write.tensor], write.box);
    if (!problem.empty()) {
      throw std::runtime_error("result " + std::to_string(i) + " " + problem);
    }
    Charge charge = job->charge.Split(program_.Bytes(write.tensor, write.box));
    blocks.push_back(std::make_shared<Block>(
        Block{write.tensor, write.box, std::move(results[i]), std::move(charge)}));
  }
  job->charge = Charge();
  return blocks;
}

void Compute::KeepPace(uint32_t function, Outcome* outcome) {
  outcome->end_ns = NowNs();
  if (program_.pace_ms.empty()) {
    return;
  }
  const int64_t due = outcome->begin_ns + static_cast<int64_t>(program_.pace_ms[function] * 1e6);
  outcome->late_ns = std::max<int64_t>(outcome->end_ns - due, 0);
  std::unique_lock<std::mutex> lock(mutex_);
  const std::chrono::steady_clock::time_point when{std::chrono::nanoseconds(due)};
  hurry_.wait_until(lock, when, [this] { return hurrying_; });
  outcome->end_ns = NowNs();
}

}  // namespace lcp_tvm::worker
