#include "contiguous.h"

#include <array>

#include "src/fail.h"

namespace lcp_tvm::driver {

namespace {

struct Kind {
  const char* name;
  OpenSource open;
};

constexpr std::array<Kind, 3> kKinds = {
    {{"xrt", OpenXrt}, {"cma", OpenCma}, {"udmabuf", OpenUdmabuf}}};

}  // namespace

std::unique_ptr<ContiguousSource> OpenContiguous(const Root& root, const std::string& name) {
  std::string reasons;
  for (const Kind& kind : kKinds) {
    if (name != "auto" && name != kind.name) {
      continue;
    }
    std::string why;
    if (std::unique_ptr<ContiguousSource> source = kind.open(root, &why)) {
      return source;
    }
    reasons.append(reasons.empty() ? "" : "; ").append(kind.name).append(": ").append(why);
  }
  if (reasons.empty()) {
    vta::FailBoard("memory '" + name + "' is not known; choose auto, xrt, cma or udmabuf");
  }
  vta::FailBoard("there is no contiguous memory (" + reasons + ")");
}

}  // namespace lcp_tvm::driver
