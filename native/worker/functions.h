// Functions that a node can call: files by hash, modules of a package, functions bound by a test.
#ifndef LCP_TVM_WORKER_FUNCTIONS_H_
#define LCP_TVM_WORKER_FUNCTIONS_H_

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace lcp_tvm::worker {

/*! \brief Functions by name. Calls from different threads may run at the same time. */
class Functions {
 public:
  /*! \brief `folder` keeps files between sessions; `threads` may call at the same time. */
  Functions(std::string folder, int threads);
  ~Functions();

  /*! \brief Whether a file of this SHA-256 is held. */
  bool Has(const std::string& sha256) const;
  /*! \brief Take a piece of a file; pieces come in order. The last one checks the hash. */
  void Store(const std::string& sha256, uint64_t offset, uint64_t size, const char* data,
             uint64_t bytes);
  /*! \brief Make the functions of a module callable; `vta` may be empty. Throws ffi errors. */
  void Load(const std::string& name, const std::vector<std::string>& functions,
            const std::string& so, const std::string& vta);
  /*! \brief Let a tvm-ffi function stand for one: tensors in, array of tensors out. */
  void Bind(const std::string& name, tvm::ffi::Function function);
  void Unload();

  bool Knows(const std::string& name) const;
  /*! \brief Bytes of the constants of all modules. */
  uint64_t WeightBytes() const;

  /*! \brief Call a function on thread `thread` of the node, 0 to threads - 1. */
  std::vector<tvm::ffi::Tensor> Call(const std::string& name,
                                     const std::vector<tvm::ffi::Tensor>& arguments, int thread);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_FUNCTIONS_H_
