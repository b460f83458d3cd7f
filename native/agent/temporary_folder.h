// A folder of the agent's own that goes when the agent does.
//
// An agent that was killed leaves its folder behind; the next one that starts removes it. The owner
// holds a lock on its folder, which the system takes away with the process.
#ifndef LCP_TVM_AGENT_TEMPORARY_FOLDER_H_
#define LCP_TVM_AGENT_TEMPORARY_FOLDER_H_

#include <filesystem>

#include "descriptor.h"

namespace lcp_tvm::agent {

class TemporaryFolder {
 public:
  /*! \brief Make one where TMPDIR says. Throws std::runtime_error with what is wrong. */
  TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder();

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  Descriptor lock_;
};

}  // namespace lcp_tvm::agent
#endif  // LCP_TVM_AGENT_TEMPORARY_FOLDER_H_
