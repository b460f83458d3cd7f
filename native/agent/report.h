// One line on stderr, as the command line writes it.
#ifndef LCP_TVM_AGENT_REPORT_H_
#define LCP_TVM_AGENT_REPORT_H_

#include <string>

namespace lcp_tvm::agent {

/*! \brief "PROGRAM: worker: TEXT" on stderr. */
void Say(const std::string& text);

}  // namespace lcp_tvm::agent
#endif  // LCP_TVM_AGENT_REPORT_H_
