#include "session.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "report.h"

namespace lcp_tvm::agent {

namespace {

/*! \brief How long a session may go on after its client has gone. */
constexpr std::chrono::seconds kGrace{2};

/*! \brief Close what the process has inherited, but for standard streams and one more. */
void CloseOthers(int kept) {
  std::vector<int> open;
  DIR* folder = opendir("/proc/self/fd");
  if (folder == nullptr) {
    return;
  }
  while (const dirent* entry = readdir(folder)) {
    open.push_back(static_cast<int>(std::strtol(entry->d_name, nullptr, 10)));
  }
  closedir(folder);
  for (const int descriptor : open) {
    if (descriptor > STDERR_FILENO && descriptor != kept) {
      close(descriptor);
    }
  }
}

[[noreturn]] void Run(int connection, pid_t parent, const std::function<void(int)>& serve) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) {
    _exit(EXIT_FAILURE);  // it ended before we asked
  }
  setpgid(0, 0);
  // Ctrl-C in a terminal is the agent's, which ends its session itself.
  signal(SIGINT, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  CloseOthers(connection);
  dup2(STDERR_FILENO, STDOUT_FILENO);
  close(STDIN_FILENO);
  open("/dev/null", O_RDONLY);  // it takes the lowest number
  fcntl(connection, F_SETFL, fcntl(connection, F_GETFL) & ~O_NONBLOCK);
  serve(connection);
  _exit(EXIT_SUCCESS);  // threads of the session may still run: nothing is destroyed under them
}

}  // namespace

Session::Session(Descriptor connection, const std::function<void(int)>& serve)
    : connection_(std::move(connection)) {
  const pid_t parent = getpid();
  process_ = fork();
  if (process_ < 0) {
    throw std::system_error(errno, std::generic_category(), "no process for a session");
  }
  if (process_ == 0) {
    Run(connection_.get(), parent, serve);
  }
  setpgid(process_, process_);  // whoever is first
}

Session::~Session() {
  // Before it is waited for: until then the number of its group is nobody else's.
  kill(-process_, SIGKILL);
  waitpid(process_, nullptr, 0);
}

bool Session::IsAlive() {
  siginfo_t end{};
  if (waitid(P_PID, static_cast<id_t>(process_), &end, WEXITED | WNOHANG | WNOWAIT) == 0 &&
      end.si_pid == process_) {
    if (end.si_code != CLD_EXITED) {
      Say("worker: a session's process was ended by signal " + std::to_string(end.si_status));
    }
    return false;
  }
  if (give_up_.has_value()) {
    return Clock::now() < *give_up_;
  }
  pollfd polled{connection_.get(), POLLRDHUP, 0};
  if (poll(&polled, 1, 0) > 0) {
    give_up_ = Clock::now() + kGrace;
  }
  return true;
}

}  // namespace lcp_tvm::agent
