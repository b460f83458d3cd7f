// The libraries that sessions need: tvm-ffi, TVM's runtime and ours, loaded when the agent starts.
//
// They are loaded once, so that a session, which is a fork, starts at once and shares their pages.
#ifndef LCP_TVM_AGENT_LIBRARIES_H_
#define LCP_TVM_AGENT_LIBRARIES_H_

#include <string>
#include <vector>

#include "lcp_tvm/session.h"

namespace lcp_tvm::agent {

struct Libraries {
  decltype(&LcpSetBoard) set_board;
  decltype(&LcpUseBoard) use_board;
  decltype(&LcpProbe) probe;
  decltype(&LcpServeSession) serve_session;
};

/*!
 * \brief Load them from the folders `first`, or else from where wheels have them, beside this
 * program.
 *
 * Throws std::runtime_error with what is missing.
 */
Libraries LoadLibraries(const std::vector<std::string>& first);

}  // namespace lcp_tvm::agent
#endif  // LCP_TVM_AGENT_LIBRARIES_H_
