#include "file_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <tvm/ffi/error.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "sha256.h"

namespace lcp_tvm::worker {

namespace fs = std::filesystem;

namespace {

/*! \brief How names of files that are on their way begin. */
constexpr const char* kPart = "part-";
/*! \brief What was not written to for so long is of a process that has died. */
constexpr std::chrono::hours kAbandoned{1};

void CheckName(const std::string& sha256) {
  if (sha256.size() != 64 || sha256.find_first_not_of("0123456789abcdef") != std::string::npos) {
    TVM_FFI_THROW(ValueError) << "file '" << sha256 << "': its name must be a SHA-256 in hex";
  }
}

[[noreturn]] void FailSystem(const std::string& what) {
  const int number = errno;
  TVM_FFI_THROW(RuntimeError) << what << ": " << std::strerror(number);
  TVM_FFI_UNREACHABLE();
}

}  // namespace

/*! \brief A file that is on its way; unless kept, it leaves nothing. */
class FileStore::Upload {
 public:
  Upload(std::string sha256, uint64_t size, const std::string& folder)
      : sha256_(std::move(sha256)), size_(size), path_(folder + "/" + kPart + "XXXXXX") {
    descriptor_ = mkostemp(path_.data(), O_CLOEXEC);
    if (descriptor_ < 0) {
      FailSystem("files cannot be kept in " + folder);
    }
  }
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;
  ~Upload() {
    close(descriptor_);
    if (!kept_) {
      unlink(path_.c_str());
    }
  }

  /*! \brief Whether this is the piece that must come next. */
  bool Expects(const std::string& sha256, uint64_t offset, uint64_t size) const {
    return sha256 == sha256_ && offset == written_ && size == size_;
  }

  bool Complete() const { return written_ == size_; }

  void Write(const char* data, uint64_t bytes) {
    hash_.Update(data, bytes);
    written_ += bytes;
    while (bytes > 0) {
      const ssize_t count = write(descriptor_, data, bytes);
      if (count < 0 && errno != EINTR) {
        FailSystem("file " + sha256_ + " cannot be written");
      }
      data += std::max<ssize_t>(count, 0);
      bytes -= static_cast<uint64_t>(std::max<ssize_t>(count, 0));
    }
  }

  /*! \brief Give the file its name. */
  void Keep(const std::string& path) {
    const std::string found = hash_.Finish();
    if (found != sha256_) {
      TVM_FFI_THROW(ValueError) << "file " << sha256_ << ": what has come hashes to " << found;
    }
    // A name must not survive a loss of power that its bytes do not survive.
    if (fsync(descriptor_) != 0 || rename(path_.c_str(), path.c_str()) != 0) {
      FailSystem("file " + sha256_ + " cannot be kept");
    }
    kept_ = true;
  }

 private:
  const std::string sha256_;
  const uint64_t size_;
  std::string path_;
  int descriptor_ = -1;
  uint64_t written_ = 0;
  bool kept_ = false;
  Sha256 hash_;
};

FileStore::FileStore(std::string folder) : folder_(std::move(folder)) {}
FileStore::~FileStore() = default;

std::string FileStore::PathOf(const std::string& sha256) const { return folder_ + "/" + sha256; }

bool FileStore::Has(const std::string& sha256) const {
  CheckName(sha256);
  return access(PathOf(sha256).c_str(), R_OK) == 0;
}

void FileStore::Put(const std::string& sha256, uint64_t offset, uint64_t size, const char* data,
                    uint64_t bytes) {
  CheckName(sha256);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (offset == 0) {
    upload_.reset();
    if (size > kMaxStore) {
      TVM_FFI_THROW(ValueError) << "file " << sha256 << ": its " << size << " bytes are more than "
                                << kMaxStore;
    }
    std::error_code error;
    fs::create_directories(folder_, error);  // if it fails, the upload says why
    MakeRoom(size);
    upload_ = std::make_unique<Upload>(sha256, size, folder_);
  }
  // Only a piece that is right leaves the upload in place.
  std::unique_ptr<Upload> upload = std::move(upload_);
  if (upload == nullptr || !upload->Expects(sha256, offset, size) || bytes > size - offset) {
    TVM_FFI_THROW(ValueError) << "file " << sha256 << ": " << bytes << " bytes at " << offset
                              << " of " << size << " do not follow what came before; begin at 0";
  }
  upload->Write(data, bytes);
  if (upload->Complete()) {
    upload->Keep(PathOf(sha256));
  } else {
    upload_ = std::move(upload);
  }
}

std::string FileStore::Use(const std::string& sha256) const {
  CheckName(sha256);
  const std::string path = PathOf(sha256);
  if (utimensat(AT_FDCWD, path.c_str(), nullptr, 0) != 0) {
    TVM_FFI_THROW(ValueError) << "file " << sha256 << " is not held; upload it first";
  }
  return path;
}

void FileStore::MakeRoom(uint64_t size) const {
  struct Found {
    fs::file_time_type used;
    uint64_t size;
    fs::path path;
  };
  std::vector<Found> files;
  uint64_t total = size;
  const fs::file_time_type abandoned = fs::file_time_type::clock::now() - kAbandoned;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, error)) {
    const uint64_t bytes = entry.file_size(error);
    if (error) {
      continue;  // a folder, or another process has just taken it away
    }
    const fs::file_time_type used = entry.last_write_time(error);
    if (entry.path().filename().string().rfind(kPart, 0) == 0 && used < abandoned) {
      fs::remove(entry.path(), error);
      continue;
    }
    files.push_back({used, bytes, entry.path()});
    total += bytes;
  }
  std::sort(files.begin(), files.end(),
            [](const Found& a, const Found& b) { return a.used < b.used; });
  for (size_t i = 0; i < files.size() && total > kMaxStore; ++i) {
    total -= files[i].size;
    fs::remove(files[i].path, error);
  }
}

}  // namespace lcp_tvm::worker
