#include "process_board.h"

namespace lcp_tvm::vta {

ProcessBoard& ProcessBoard::Instance() {
  static ProcessBoard board;
  return board;
}

}  // namespace lcp_tvm::vta
