#include "report.h"

#include <cerrno>
#include <cstdio>

namespace lcp_tvm::agent {

void Say(const std::string& text) {
  std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, text.c_str());
}

}  // namespace lcp_tvm::agent
