// The accelerator's registers: a page for each of its four stages (vta.md, "Parameters").
#ifndef LCP_TVM_DRIVER_REGISTERS_H_
#define LCP_TVM_DRIVER_REGISTERS_H_

#include <array>
#include <cstdint>
#include <string>

#include "mapped.h"
#include "root.h"

namespace lcp_tvm::driver {

enum class Stage : uint8_t { kFetch, kLoad, kCompute, kStore };

class Registers {
 public:
  /*!
   * \brief Map those of a family ("pynq", "ultra96", "zcu104"), by /dev/mem or by UIO.
   * \throws [vta-board] when neither lets us.
   */
  Registers(const Root& root, const std::string& family);

  uint32_t Read(Stage stage, uint32_t offset) const { return *At(stage, offset); }
  void Write(Stage stage, uint32_t offset, uint32_t value) { *At(stage, offset) = value; }

 private:
  volatile uint32_t* At(Stage stage, uint32_t offset) const {
    uint8_t* page = pages_[static_cast<size_t>(stage)].data();
    return reinterpret_cast<volatile uint32_t*>(page + offset);
  }

  std::array<Mapped, 4> pages_;
};

}  // namespace lcp_tvm::driver
#endif  // LCP_TVM_DRIVER_REGISTERS_H_
