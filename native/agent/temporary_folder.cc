#include "temporary_folder.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

namespace lcp_tvm::agent {

namespace fs = std::filesystem;

namespace {

constexpr const char* kPrefix = "lcp-agent-";

/*! \brief Whoever made a younger folder may not have locked it yet. */
constexpr std::chrono::minutes kYoung{1};

Descriptor Locked(const fs::path& folder) {
  Descriptor lock(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (lock.is_open() && flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    lock.Close();
  }
  return lock;
}

void RemoveAbandoned(const fs::path& where) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(where, error)) {
    if (entry.path().filename().string().rfind(kPrefix, 0) != 0) {
      continue;
    }
    const auto changed = entry.last_write_time(error);
    if (!error && fs::file_time_type::clock::now() - changed > kYoung &&
        Locked(entry.path()).is_open()) {
      fs::remove_all(entry.path(), error);
    }
  }
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::error_code error;
  const fs::path where = fs::temp_directory_path(error);
  RemoveAbandoned(where);
  std::string name = (where / (std::string(kPrefix) + "XXXXXX")).string();
  if (error || mkdtemp(name.data()) == nullptr) {
    throw std::runtime_error("no folder can be made in '" + where.string() +
                             "': " + (error ? error.message() : std::strerror(errno)) +
                             "; set TMPDIR to one");
  }
  path_ = name;
  lock_ = Locked(path_);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code error;
  fs::remove_all(path_, error);
}

}  // namespace lcp_tvm::agent
