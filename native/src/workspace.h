// Memory for the maps of a call, which the next call finds there.
#ifndef LCP_TVM_WORKSPACE_H_
#define LCP_TVM_WORKSPACE_H_

namespace lcp_tvm {

/*! \brief Whether this process keeps the memory of a call for the next one; it does by default. */
void KeepWorkspaces(bool keep);

}  // namespace lcp_tvm
#endif  // LCP_TVM_WORKSPACE_H_
