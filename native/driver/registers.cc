#include "registers.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "src/fail.h"

namespace lcp_tvm::driver {

namespace {

constexpr uint64_t kPage = 4096;
constexpr int kMaxUio = 32;

uint64_t FirstPage(const std::string& family) {
  if (family == "pynq") {
    return 0x43C00000;
  }
  if (family == "ultra96" || family == "zcu104") {
    return 0xA0000000;
  }
  vta::FailBoard("boards of the family '" + family +
                 "' have no driver; those of pynq, ultra96 and zcu104 do");
}

/*! \brief The UIO device whose first map begins at an address. */
Mapped MapUio(const Root& root, uint64_t address) {
  for (int i = 0; i < kMaxUio; ++i) {
    const std::string name = "uio" + std::to_string(i);
    const auto begin = root.Word("/sys/class/uio/" + name + "/maps/map0/addr");
    if (begin.has_value() && std::strtoull(begin->c_str(), nullptr, 0) == address) {
      return Mapped(root.At("/dev/" + name), 0, kPage, false);
    }
  }
  return {};
}

}  // namespace

Registers::Registers(const Root& root, const std::string& family) {
  const uint64_t first = FirstPage(family);
  for (size_t stage = 0; stage < pages_.size(); ++stage) {
    const uint64_t address = first + stage * kPage;
    pages_[stage] = Mapped(root.At("/dev/mem"), address, kPage, false);
    const int error = errno;
    if (!pages_[stage].is_open()) {
      pages_[stage] = MapUio(root, address);
    }
    if (!pages_[stage].is_open()) {
      vta::FailBoard(std::string("the accelerator's registers cannot be mapped: /dev/mem: ") +
                     std::strerror(error) +
                     ", and no UIO device has them; run the agent as root, or with a kernel "
                     "without CONFIG_IO_STRICT_DEVMEM");
    }
  }
}

}  // namespace lcp_tvm::driver
