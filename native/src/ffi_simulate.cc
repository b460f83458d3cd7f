// lcp_tvm.vta.Simulate (docs/architecture.md, "Native library").
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/reflection/registry.h>
#include <tvm/ffi/string.h>

#include "fail.h"
#include "simulator.h"

namespace lcp_tvm::vta {

namespace ffi = tvm::ffi;

namespace {

ffi::String SimulateTensor(const ffi::String& config_json, ffi::TensorView dram, int64_t insn_addr,
                           int64_t insn_count, const ffi::String& options_json) {
  const Config config = ParseConfig(std::string(config_json));
  const SimOptions options = ParseOptions(std::string(options_json), config);
  if (dram.device().device_type != kDLCPU || dram.ndim() != 1 || dram.dtype().code != kDLUInt ||
      dram.dtype().bits != 8 || dram.dtype().lanes != 1 || !dram.IsContiguous()) {
    FailConfig("the DRAM image must be a contiguous one-dimensional uint8 CPU tensor");
  }
  if (insn_addr < 0 || insn_count < 0) {
    FailConfig("instruction address and count must not be negative");
  }
  uint8_t* data = static_cast<uint8_t*>(dram.data_ptr()) + dram.byte_offset();
  const Stats stats = Simulate(config, options, data, static_cast<uint64_t>(dram.size(0)),
                               static_cast<uint64_t>(insn_addr), static_cast<uint64_t>(insn_count));
  return ffi::String(StatsJson(stats));
}

}  // namespace

TVM_FFI_STATIC_INIT_BLOCK() {
  namespace refl = tvm::ffi::reflection;
  refl::GlobalDef().def("lcp_tvm.vta.Simulate", SimulateTensor);
}

}  // namespace lcp_tvm::vta
