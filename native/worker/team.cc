#include "team.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace lcp_tvm::worker {

namespace ffi = tvm::ffi;

namespace {

/*!
 * \brief How long a thread looks before it sleeps: kernels of a frame come one after the other. It
 * does not yield, which on a busy machine costs a whole slice of time.
 */
constexpr std::chrono::microseconds kLook{100};

thread_local Team* team_of_task = nullptr;

/*! \brief Look until it is so, or for a while. */
template <class Condition>
void LookFor(const Condition& condition) {
  const auto end = std::chrono::steady_clock::now() + kLook;
  while (!condition() && std::chrono::steady_clock::now() < end) {
  }
}

}  // namespace

Team::Team(int cores) : cores_(cores) {
  for (int i = 1; i < cores; ++i) {
    helpers_.emplace_back([this] { Help(); });
  }
}

Team::~Team() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& helper : helpers_) {
    helper.join();
  }
}

Team::Member::Member(Team* team) : team_(team) {
  team_of_task = team;
  const std::lock_guard<std::mutex> lock(team->mutex_);
  ++team->members_;
}

Team::Member::~Member() {
  team_of_task = nullptr;
  const std::lock_guard<std::mutex> lock(team_->mutex_);
  --team_->members_;
}

int Team::Launch(LoopBody body, void* data, int /*unused*/) {
  if (team_of_task != nullptr) {
    return team_of_task->Run(body, data);
  }
  LoopEnvironment alone{nullptr, 1};
  return body(0, &alone, data);
}

int Team::Run(LoopBody body, void* data) {
  Loop loop{body, data, {nullptr, 1}, 1, std::nullopt, {0}};
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const int free = std::max(0, cores_ - members_ - helping_);
    if (free > 0) {
      loop.environment.shares += free;
      loop.left = free;
      helping_ += free;
      open_ += free;
      loops_.push_back(&loop);
    }
  }
  if (loop.left > 0) {
    wake_.notify_all();
  }
  int result = body(0, &loop.environment, data);
  LookFor([&loop] { return loop.left == 0; });
  if (loop.left > 0) {
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [&loop] { return loop.left == 0; });
  }
  if (loop.error.has_value() && result == 0) {
    ffi::detail::SetSafeCallRaised(*loop.error);
    result = -1;
  }
  return result;
}

void Team::Help() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    lock.unlock();
    LookFor([this] { return open_ > 0; });
    lock.lock();
    wake_.wait(lock, [this] { return stopping_ || !loops_.empty(); });
    if (stopping_) {
      return;
    }
    Loop* const loop = loops_.front();
    const int share = loop->next++;
    --open_;
    if (loop->next == loop->environment.shares) {
      loops_.pop_front();
    }
    lock.unlock();
    std::optional<ffi::Error> error;
    if (loop->body(share, &loop->environment, loop->data) != 0) {
      error = ffi::detail::MoveFromSafeCallRaised();
    }
    lock.lock();
    --helping_;
    if (error.has_value()) {
      loop->error = std::move(error);
    }
    if (--loop->left == 0) {
      done_.notify_all();
    }
  }
}

}  // namespace lcp_tvm::worker
