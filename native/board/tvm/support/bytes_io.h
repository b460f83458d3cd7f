// Streams over bytes in memory.
#ifndef LCP_TVM_BOARD_TVM_BYTES_IO_H_
#define LCP_TVM_BOARD_TVM_BYTES_IO_H_

#include <tvm/ffi/string.h>
#include <tvm/support/io.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

namespace tvm::support {

/*! \brief Reads bytes, which must outlive it. */
class BytesInStream final : public Stream {
 public:
  explicit BytesInStream(const std::string& bytes) : bytes_(bytes) {}
  explicit BytesInStream(const ffi::Bytes& bytes) : bytes_(bytes.data(), bytes.size()) {}

  using Stream::Read;
  using Stream::Write;
  size_t Read(void* data, size_t size) final {
    const size_t taken = std::min(size, bytes_.size());
    if (taken > 0) {
      std::memcpy(data, bytes_.data(), taken);
    }
    bytes_.remove_prefix(taken);
    return taken;
  }
  size_t Write(const void* /*data*/, size_t /*size*/) final { return 0; }

 private:
  std::string_view bytes_;
};

/*! \brief Appends to a text, which must outlive it. */
class BytesOutStream final : public Stream {
 public:
  explicit BytesOutStream(std::string* bytes) : bytes_(bytes) {}

  using Stream::Read;
  using Stream::Write;
  size_t Read(void* /*data*/, size_t /*size*/) final { return 0; }
  size_t Write(const void* data, size_t size) final {
    bytes_->append(static_cast<const char*>(data), size);
    return size;
  }

 private:
  std::string* const bytes_;
};

}  // namespace tvm::support
#endif  // LCP_TVM_BOARD_TVM_BYTES_IO_H_
