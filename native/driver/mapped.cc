#include "mapped.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace lcp_tvm::driver {

Mapped::Mapped(const std::string& path, uint64_t offset, uint64_t size, bool cached) {
  const int file = open(path.c_str(), O_RDWR | O_CLOEXEC | (cached ? 0 : O_SYNC));
  if (file < 0) {
    return;
  }
  void* data =
      mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, static_cast<off_t>(offset));
  const int error = errno;
  close(file);
  errno = error;
  if (data != MAP_FAILED) {
    data_ = static_cast<uint8_t*>(data);
    size_ = size;
  }
}

Mapped::~Mapped() {
  if (is_open()) {
    munmap(data_, size_);
  }
}

}  // namespace lcp_tvm::driver
