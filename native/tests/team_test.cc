// Parallel loops of a node's tasks: every share runs once, by no more threads than there are cores.
#include "worker/team.h"

#include <tvm/ffi/error.h>

#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "check.h"

namespace lcp_tvm::worker {
namespace {

namespace ffi = tvm::ffi;

/*! \brief What a loop's shares have seen. */
struct Seen {
  std::mutex mutex;
  std::vector<int> shares;
  std::set<std::thread::id> threads;
  int expected = 0;
};

int Note(int share, LoopEnvironment* environment, void* data) {
  auto* const seen = static_cast<Seen*>(data);
  const std::lock_guard<std::mutex> lock(seen->mutex);
  seen->expected = environment->shares;
  seen->shares.push_back(share);
  seen->threads.insert(std::this_thread::get_id());
  return 0;
}

/*! \brief How many shares a loop has; each must have run once. */
int SharesOfALoop() {
  Seen seen;
  CHECK_EQ(Team::Launch(&Note, &seen, 0), 0);
  CHECK_EQ(seen.shares.size(), static_cast<size_t>(seen.expected));
  CHECK_EQ(std::set<int>(seen.shares.begin(), seen.shares.end()).size(), seen.shares.size());
  return seen.expected;
}

void ALoneTaskHasAllCores() {
  Team team(3);
  const Team::Member member(&team);
  for (int i = 0; i < 2000; ++i) {
    CHECK_EQ(SharesOfALoop(), 3);
  }
}

void OtherTasksKeepTheirCores() {
  Team team(3);
  const Team::Member member(&team);
  std::thread([&team] {
    const Team::Member other(&team);
    CHECK_EQ(SharesOfALoop(), 2);
  }).join();
  CHECK_EQ(SharesOfALoop(), 3);
}

void OutsideOfATaskALoopIsNotShared() {
  Team team(3);
  CHECK_EQ(SharesOfALoop(), 1);
}

void TasksAtTheSameTimeGetTheirOwnShares() {
  Team team(4);
  std::vector<std::thread> tasks;
  tasks.reserve(3);
  for (int task = 0; task < 3; ++task) {
    tasks.emplace_back([&team] {
      for (int i = 0; i < 1000; ++i) {
        const Team::Member member(&team);
        const int shares = SharesOfALoop();
        CHECK(shares >= 1 && shares <= 4);
      }
    });
  }
  for (std::thread& task : tasks) {
    task.join();
  }
}

int FailLast(int share, LoopEnvironment* environment, void* /*data*/) {
  if (share + 1 < environment->shares) {
    return 0;
  }
  ffi::detail::SetSafeCallRaised(ffi::Error("ValueError", "no memory for share", ""));
  return -1;
}

void AnErrorOfAHelperIsTheCallers() {
  Team team(2);
  const Team::Member member(&team);
  CHECK_EQ(Team::Launch(&FailLast, nullptr, 0), -1);
  CHECK(ffi::detail::MoveFromSafeCallRaised().message() == "no memory for share");
}

}  // namespace
}  // namespace lcp_tvm::worker

int main(int argc, char** argv) {
  using namespace lcp_tvm::worker;
  return lcp_tvm::tests::Main(
      {{"ALoneTaskHasAllCores", &ALoneTaskHasAllCores},
       {"OtherTasksKeepTheirCores", &OtherTasksKeepTheirCores},
       {"OutsideOfATaskALoopIsNotShared", &OutsideOfATaskALoopIsNotShared},
       {"TasksAtTheSameTimeGetTheirOwnShares", &TasksAtTheSameTimeGetTheirOwnShares},
       {"AnErrorOfAHelperIsTheCallers", &AnErrorOfAHelperIsTheCallers}},
      argc, argv);
}
