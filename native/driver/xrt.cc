// Buffer objects of XRT, through its C interface (xrt.h), which PYNQ's images have from 2.7 on.
#include <sys/mman.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "contiguous.h"
#include "shared_library.h"

namespace lcp_tvm::driver {

namespace {

constexpr unsigned int kNoBuffer = 0xffffffff;
constexpr unsigned int kCacheable = 1u << 24;  // in the first memory bank
constexpr int kToDevice = 0;
constexpr int kFromDevice = 1;

struct Properties {
  uint32_t handle;
  uint32_t flags;
  uint64_t size;
  uint64_t physical;
  int reserved;
};

struct Xrt {
  SharedLibrary library;
  void* (*open)(unsigned int index, const char* log, int verbosity);
  void (*close)(void* device);
  unsigned int (*alloc)(void* device, size_t size, int unused, unsigned int flags);
  void (*free)(void* device, unsigned int buffer);
  void* (*map)(void* device, unsigned int buffer, bool write);
  int (*unmap)(void* device, unsigned int buffer, void* data);
  int (*properties)(void* device, unsigned int buffer, Properties* properties);
  int (*sync)(void* device, unsigned int buffer, int direction, size_t size, size_t offset);
  void* device;
};

/*! \brief A buffer object; frees itself. */
class Buffer {
 public:
  Buffer(const Xrt& xrt, size_t size)
      : xrt_(xrt), number_(xrt.alloc(xrt.device, size, 0, kCacheable)) {}
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (data_ != nullptr) {
      xrt_.unmap(xrt_.device, number_, data_);
    }
    if (number_ != kNoBuffer) {
      xrt_.free(xrt_.device, number_);
    }
  }

  /*! \brief Map it and ask where it is; whether all of that went well. */
  bool Map() {
    if (number_ == kNoBuffer) {
      return false;
    }
    void* data = xrt_.map(xrt_.device, number_, true);
    if (data == nullptr || data == MAP_FAILED) {
      return false;
    }
    data_ = data;
    Properties properties{};
    if (xrt_.properties(xrt_.device, number_, &properties) != 0) {
      return false;
    }
    physical_ = properties.physical;
    return physical_ != 0;
  }

  void* data() const { return data_; }
  uint64_t physical() const { return physical_; }
  void Sync(int direction, uint64_t offset, uint64_t size) const {
    xrt_.sync(xrt_.device, number_, direction, size, offset);
  }

 private:
  const Xrt& xrt_;
  const unsigned int number_;
  void* data_ = nullptr;
  uint64_t physical_ = 0;
};

class XrtMemory final : public Contiguous {
 public:
  explicit XrtMemory(std::unique_ptr<Buffer> buffer)
      : Contiguous(static_cast<uint8_t*>(buffer->data()), buffer->physical()),
        buffer_(std::move(buffer)) {}

  void Flush(uint64_t offset, uint64_t size) override { buffer_->Sync(kToDevice, offset, size); }
  void Invalidate(uint64_t offset, uint64_t size) override {
    buffer_->Sync(kFromDevice, offset, size);
  }

 private:
  const std::unique_ptr<Buffer> buffer_;
};

class XrtSource final : public ContiguousSource {
 public:
  explicit XrtSource(Xrt xrt) : xrt_(std::move(xrt)) {}
  ~XrtSource() override { xrt_.close(xrt_.device); }

  const char* name() const override { return "xrt"; }

  std::unique_ptr<Contiguous> Allocate(uint64_t size) override {
    auto buffer = std::make_unique<Buffer>(xrt_, size);
    return buffer->Map() ? std::make_unique<XrtMemory>(std::move(buffer)) : nullptr;
  }

  const char* cure() const override {
    return "end other programs that use the FPGA, or raise cma= in the kernel's bootargs";
  }

 private:
  const Xrt xrt_;
};

}  // namespace

std::unique_ptr<ContiguousSource> OpenXrt(const Root& root, std::string* why) {
  Xrt xrt{};
  for (const char* name : {"/usr/lib/libxrt_core.so.2", "/usr/lib/libxrt_core.so"}) {
    if (!xrt.library.is_open()) {
      xrt.library = SharedLibrary(root.At(name));
    }
  }
  if (!xrt.library.is_open()) {
    *why = "/usr/lib/libxrt_core.so does not load (PYNQ's images from 2.7 on have it)";
    return nullptr;
  }
  const bool whole =
      xrt.library.Find("xclOpen", &xrt.open) && xrt.library.Find("xclClose", &xrt.close) &&
      xrt.library.Find("xclAllocBO", &xrt.alloc) && xrt.library.Find("xclFreeBO", &xrt.free) &&
      xrt.library.Find("xclMapBO", &xrt.map) && xrt.library.Find("xclUnmapBO", &xrt.unmap) &&
      xrt.library.Find("xclGetBOProperties", &xrt.properties) &&
      xrt.library.Find("xclSyncBO", &xrt.sync);
  if (!whole) {
    *why = "libxrt_core.so is older than XRT 2.11; update the image to PYNQ 2.7 or later";
    return nullptr;
  }
  xrt.device = xrt.open(0, nullptr, 0);
  if (xrt.device == nullptr) {
    *why = "XRT finds no device; is the zocl driver loaded, and are you root?";
    return nullptr;
  }
  return std::make_unique<XrtSource>(std::move(xrt));
}

}  // namespace lcp_tvm::driver
