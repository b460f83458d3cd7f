// The file `net.vta`: a config and its programs.
//
//   "LCPVTA01" | u64 n, little endian | n bytes of JSON | raw sections up to the end
//
// The JSON is docs/architecture.md's "VTA program". Every length, offset, address and shape is
// checked against the bytes that are there (or the DRAM that the program claims) before it is used;
// a reader of a ParsedFile need not check again:
// - images lie in the raw sections and inside their program's DRAM;
// - instructions, tensors and buffers lie inside the DRAM, at most kMaxDram bytes of it;
// - tensors are [N, C] or [N, C, H, W]; layer ranges lie inside the stream; symbols are unique.
#ifndef LCP_TVM_PROGRAM_FILE_H_
#define LCP_TVM_PROGRAM_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config.h"
#include "layout.h"
#include "simulator.h"

namespace lcp_tvm::vta {

constexpr uint64_t kMaxDram = uint64_t{1} << 30;

/*! \brief An activation in DRAM: int8 elements (layout.h) at `address`. */
struct TensorSlot {
  std::string name;
  uint64_t address;
  std::vector<int64_t> shape;  // of the call's tensor
  Layout layout;
  uint64_t bytes;  // in DRAM
};

struct Program {
  std::string symbol;
  std::string_view image;  // initial DRAM [0, size); points into the file's bytes
  uint64_t dram_size;
  uint64_t insn_addr, insn_count;
  std::vector<TensorSlot> inputs, outputs;
  std::vector<LayerRange> layers;
};

struct ParsedFile {
  std::string header;  // the JSON, as it was understood
  Config config;
  std::vector<Program> programs;
};

/*!
 * \brief Check and read a file; the result points into `bytes`, which must outlive it.
 * \throws [vta-program] for wrong bytes, [vta-config] for a config that cannot be executed.
 */
ParsedFile ParseProgramFile(std::string_view bytes);

}  // namespace lcp_tvm::vta
#endif  // LCP_TVM_PROGRAM_FILE_H_
