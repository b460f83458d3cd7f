// A VTA configuration: upstream's JSON keys, and the sizes that follow from them.
//
// Only what this library can execute is accepted: 8-bit inputs and weights, 32-bit accumulators.
// Full validation, with advice, is lcp_tvm/vta/config.py's work.
#ifndef LCP_TVM_CONFIG_H_
#define LCP_TVM_CONFIG_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "lcp_tvm/isa.h"

namespace lcp_tvm::vta {

/*! \brief The memories an instruction can name, in the order of their codes. */
constexpr int kNumMemories = 6;
extern const char* const kMemoryNames[kNumMemories];

struct Config {
  std::string text;    // canonical JSON of the keys
  std::string target;  // TARGET
  int log_block;       // log2 of BLOCK
  int block;           // channels in one block
  int batch;           // rows of one input element, a frame each
  int lanes;           // values of one input, accumulator or output element
  int64_t uop_depth;   // elements on chip, by memory
  int64_t inp_depth;
  int64_t wgt_depth;
  int64_t acc_depth;
  int64_t out_depth;
  int64_t inp_bytes;  // bytes of one element; an output element has the input's size
  int64_t wgt_bytes;
  int64_t acc_bytes;
  int hazard_distance;  // issue slots before a GEMM may read back what it wrote
  double clock_hz;
  double bus_scale;  // DMA bytes a cycle, relative to a 64-bit port
  isa::Widths widths;

  int64_t ElementBytes(int memory) const;
  int64_t Depth(int memory) const;
};

constexpr int64_t kUopBytes = 4;
constexpr int64_t kInsnBytes = 16;

/*! \brief Parse a config; wrong keys and values are [vta-config] errors naming the key. */
Config ParseConfig(std::string_view json);

/*!
 * \brief What keeps a program for `wanted` from running on `board`: empty, or the first key that
 *        differs with both values. Keys that no bitstream depends on are not compared.
 */
std::string FirstDifference(const std::string& wanted, const std::string& board);

}  // namespace lcp_tvm::vta
#endif  // LCP_TVM_CONFIG_H_
