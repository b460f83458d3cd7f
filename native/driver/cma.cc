// libcma (libxlnk_cma.h of PYNQ's images up to 2.6): contiguous memory of the xlnk driver.
#include <sys/mman.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "contiguous.h"
#include "shared_library.h"

namespace lcp_tvm::driver {

namespace {

struct Cma {
  SharedLibrary library;
  void* (*alloc)(uint32_t size, uint32_t cacheable);
  void (*free)(void* data);
  unsigned long (*physical)(void* data);
  void (*flush)(void* data, unsigned int physical, int size);
  void (*invalidate)(void* data, unsigned int physical, int size);
};

class CmaMemory final : public Contiguous {
 public:
  CmaMemory(const Cma& cma, void* data)
      : Contiguous(static_cast<uint8_t*>(data), cma.physical(data)), cma_(cma) {}
  ~CmaMemory() override { cma_.free(data()); }

  void Flush(uint64_t offset, uint64_t size) override {
    cma_.flush(data() + offset, Physical(offset), static_cast<int>(size));
  }
  void Invalidate(uint64_t offset, uint64_t size) override {
    cma_.invalidate(data() + offset, Physical(offset), static_cast<int>(size));
  }

 private:
  unsigned int Physical(uint64_t offset) const {
    return static_cast<unsigned int>(physical() + offset);
  }

  const Cma& cma_;
};

class CmaSource final : public ContiguousSource {
 public:
  explicit CmaSource(Cma cma) : cma_(std::move(cma)) {}

  const char* name() const override { return "cma"; }

  std::unique_ptr<Contiguous> Allocate(uint64_t size) override {
    if (size > std::numeric_limits<int>::max()) {
      return nullptr;
    }
    void* data = cma_.alloc(static_cast<uint32_t>(size), 1);
    if (data == nullptr || data == MAP_FAILED) {
      return nullptr;
    }
    return std::make_unique<CmaMemory>(cma_, data);
  }

  const char* cure() const override {
    return "end other programs that use the FPGA, or raise cma= in the kernel's bootargs";
  }

 private:
  const Cma cma_;
};

}  // namespace

std::unique_ptr<ContiguousSource> OpenCma(const Root& root, std::string* why) {
  Cma cma{};
  // The library ends the process where the driver is missing.
  if (!root.Has("/dev/xlnk")) {
    *why = "the kernel has no /dev/xlnk (PYNQ's images up to 2.6 have)";
    return nullptr;
  }
  cma.library = SharedLibrary(root.At("/usr/lib/libcma.so"));
  if (!cma.library.is_open()) {
    *why = "/usr/lib/libcma.so does not load";
    return nullptr;
  }
  const bool whole = cma.library.Find("cma_alloc", &cma.alloc) &&
                     cma.library.Find("cma_free", &cma.free) &&
                     cma.library.Find("cma_get_phy_addr", &cma.physical) &&
                     cma.library.Find("cma_flush_cache", &cma.flush) &&
                     cma.library.Find("cma_invalidate_cache", &cma.invalidate);
  if (!whole) {
    *why = "libcma.so lacks functions that PYNQ's has since 2.3; update the image";
    return nullptr;
  }
  return std::make_unique<CmaSource>(std::move(cma));
}

}  // namespace lcp_tvm::driver
