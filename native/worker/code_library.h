// A shared library that TVM has exported, loaded with little memory.
//
// tvm-ffi's own loader copies what the library embeds, constants included, twice more before TVM
// makes its tensors of it: 54 MB for 13 MB of embedded weights. Here TVM reads the library's own
// pages, which are given back afterwards. The constants that the compiler keeps out of what is
// embedded are never copied. Parallel loops are the team's, not those of TVM's thread pool.
#ifndef LCP_TVM_WORKER_CODE_LIBRARY_H_
#define LCP_TVM_WORKER_CODE_LIBRARY_H_

#include <tvm/ffi/extra/module.h>

#include <cstdint>
#include <string>

namespace lcp_tvm::worker {

/*! \brief The modules of a library: the first one, which imports the others. */
struct CodeLibrary {
  tvm::ffi::Module root;
  /*! \brief Its constants, in its file and in memory, and a little bytecode. */
  uint64_t constant_bytes = 0;
};

/*! \brief Load a library; throws ffi errors. Its functions keep it loaded. */
CodeLibrary LoadCodeLibrary(const std::string& path);

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_CODE_LIBRARY_H_
