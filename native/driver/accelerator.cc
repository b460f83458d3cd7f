#include "accelerator.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <thread>

#include "src/fail.h"

namespace lcp_tvm::driver {

namespace {

using SteadyClock = std::chrono::steady_clock;

// vta.md, "Parameters".
constexpr uint32_t kControl = 0x00;
constexpr uint32_t kStart = 0x1;
constexpr uint32_t kAutoRestart = 0x81;
constexpr uint32_t kIdle = 0x4;
constexpr uint32_t kFetchCount = 0x10;
constexpr uint32_t kFetchAddress = 0x18;
constexpr uint32_t kLoadInputBase = 0x10;
constexpr uint32_t kLoadWeightBase = 0x18;
constexpr uint32_t kComputeDone = 0x18;
constexpr uint32_t kComputeUopBase = 0x20;
constexpr uint32_t kComputeBiasBase = 0x28;
constexpr uint32_t kStoreBase = 0x10;

/*! \brief How long compute may take to begin what fetch has brought it. */
constexpr std::chrono::milliseconds kBegin{1};
/*! \brief Programs that are shorter are waited for without sleep. */
constexpr std::chrono::milliseconds kPatience{2};

constexpr const char* kLock = "/run/lock/lcp-tvm-vta";
constexpr const char* kManager = "/sys/class/fpga_manager/fpga0";
/*! \brief What `lcp-tvm board program` leaves in /lib/firmware. */
constexpr const char* kFirmware = "lcp-tvm-vta.bin";

/*! \brief A lock that the kernel takes back when this process ends, however it does. */
int TakeLock(const Root& root) {
  const int file = open(root.At(kLock).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file >= 0 && flock(file, LOCK_EX | LOCK_NB) == 0) {
    return file;
  }
  if (file >= 0) {
    close(file);
    vta::FailBoard("another process has the accelerator; a board serves one agent, end the other");
  }
  vta::FailBoard(std::string(kLock) + " cannot be made; run the agent as root");
}

}  // namespace

Accelerator::Accelerator(const Root& root, const std::string& family,
                         std::chrono::milliseconds deadline)
    : root_(root), deadline_(deadline), registers_(root, family), lock_(TakeLock(root)) {
  const std::optional<std::string> state = root.Word(std::string(kManager) + "/state");
  if (state.has_value() && *state != "operating") {
    close(lock_);
    vta::FailBoard("the FPGA holds no design (its state is '" + *state +
                   "'); load one with 'lcp-tvm board program HOST --bitstream FILE'");
  }
  // What a process that was killed has left running must not meet our program.
  const auto begin = SteadyClock::now();
  while ((registers_.Read(Stage::kFetch, kControl) & kStart) != 0 && !hung_) {
    hung_ = SteadyClock::now() - begin > deadline_;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

Accelerator::~Accelerator() { close(lock_); }

double Accelerator::Run(uint64_t address, uint64_t count) {
  if (hung_) {
    Reload();
  }
  registers_.Write(Stage::kFetch, kFetchCount, static_cast<uint32_t>(count));
  registers_.Write(Stage::kFetch, kFetchAddress, static_cast<uint32_t>(address));
  registers_.Write(Stage::kLoad, kLoadInputBase, 0);
  registers_.Write(Stage::kLoad, kLoadWeightBase, 0);
  registers_.Write(Stage::kCompute, kComputeUopBase, 0);
  registers_.Write(Stage::kCompute, kComputeBiasBase, 0);
  registers_.Write(Stage::kStore, kStoreBase, 0);
  const auto begin = SteadyClock::now();
  for (const Stage stage : {Stage::kLoad, Stage::kCompute, Stage::kStore}) {
    registers_.Write(stage, kControl, kAutoRestart);
  }
  registers_.Write(Stage::kFetch, kControl, kStart);
  if (!WaitForEnd(begin)) {
    hung_ = true;
    vta::FailBoard("the accelerator did not finish a program of " + std::to_string(count) +
                   " instructions within " + std::to_string(deadline_.count()) +
                   " ms; it is loaded anew before the next");
  }
  return std::chrono::duration<double, std::milli>(SteadyClock::now() - begin).count();
}

bool Accelerator::WaitForEnd(SteadyClock::time_point begin) {
  // `done` is that of the last program until compute has begun this one (vta.md rule 9): it counts
  // when it has been seen clear, or when fetch has long been through.
  bool begun = false;
  std::optional<SteadyClock::time_point> fetched;
  for (;;) {
    const bool done = (registers_.Read(Stage::kCompute, kComputeDone) & 1) != 0;
    const uint32_t fetch = registers_.Read(Stage::kFetch, kControl);
    const auto now = SteadyClock::now();
    if (!fetched.has_value() && (fetch & kStart) == 0 && (fetch & kIdle) != 0) {
      fetched = now;
    }
    begun = begun || !done || (fetched.has_value() && now - *fetched > kBegin);
    if (begun && done) {
      return true;
    }
    if (now - begin > deadline_) {
      return false;
    }
    if (now - begin > kPatience) {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
}

void Accelerator::Reload() {
  const std::string manager = kManager;
  const bool asked = root_.Has(std::string("/lib/firmware/") + kFirmware) &&
                     root_.Put(manager + "/flags", "0") &&
                     root_.Put(manager + "/firmware", kFirmware);
  if (!asked || root_.Word(manager + "/state") != "operating") {
    vta::FailBoard(
        "the accelerator hangs since an earlier program, and its design cannot be loaded anew; "
        "load it with 'lcp-tvm board program HOST --bitstream FILE'");
  }
  hung_ = false;
}

}  // namespace lcp_tvm::driver
