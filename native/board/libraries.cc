// The libraries of an agent for a board: it is linked with all of them.
#include "agent/libraries.h"

#include <stdexcept>

namespace lcp_tvm::agent {

Libraries LoadLibraries(const std::vector<std::string>& first) {
  if (!first.empty()) {
    throw std::runtime_error("--libraries: this agent has its libraries in it; leave it out");
  }
  return {&LcpSetBoard, &LcpUseBoard, &LcpProbe, &LcpServeSession};
}

}  // namespace lcp_tvm::agent
