// A stretch of a file or device in this process's memory.
#ifndef LCP_TVM_DRIVER_MAPPED_H_
#define LCP_TVM_DRIVER_MAPPED_H_

#include <cstdint>
#include <string>
#include <utility>

namespace lcp_tvm::driver {

class Mapped {
 public:
  Mapped() = default;
  /*! \brief Map [offset, offset + size), a page's start; not open, and errno says why, if not. */
  Mapped(const std::string& path, uint64_t offset, uint64_t size, bool cached);
  Mapped(Mapped&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapped& operator=(Mapped&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Mapped();

  bool is_open() const { return data_ != nullptr; }
  uint8_t* data() const { return data_; }

 private:
  uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace lcp_tvm::driver
#endif  // LCP_TVM_DRIVER_MAPPED_H_
