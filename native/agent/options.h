// The agent's command line.
#ifndef LCP_TVM_AGENT_OPTIONS_H_
#define LCP_TVM_AGENT_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lcp_tvm::agent {

extern const char* const kUsage;

struct Options {
  std::string host = "127.0.0.1";
  uint16_t port = 0;
  std::string tracker_host;  // empty: none
  uint16_t tracker_port = 0;
  /*! \brief A config's file, or its JSON text; empty: programs of any are taken. */
  std::string vta;
  /*! \brief Where an accelerator's memory comes from; empty: programs run on the simulator. */
  std::string board;
  /*! \brief Below which the board's files are. */
  std::string root;
  bool probe = false;
  int cores = 1;
  uint64_t memory_bytes = 0;  // 0: no limit
  /*! \brief Where files are kept; empty: as long as the agent runs. */
  std::string files;
  /*! \brief Folders of the libraries, before the usual ones. */
  std::vector<std::string> libraries;
  /*! \brief End when standard input, a pipe, is closed. */
  bool attached = false;
};

/*!
 * \brief Read the command line; nothing when it asks for help.
 *
 * Throws std::invalid_argument with what is wrong.
 */
std::optional<Options> ReadOptions(int count, char** arguments);

}  // namespace lcp_tvm::agent
#endif  // LCP_TVM_AGENT_OPTIONS_H_
