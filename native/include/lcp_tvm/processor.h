#ifndef LCP_TVM_PROCESSOR_H_
#define LCP_TVM_PROCESSOR_H_

#include <string>

namespace lcp_tvm {

/*! \brief This machine's name among those of lcp_tvm/cpu/processor.py, or what uname says. */
std::string ProcessorName();

}  // namespace lcp_tvm
#endif  // LCP_TVM_PROCESSOR_H_
