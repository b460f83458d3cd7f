// A node as its functions have it (docs/runtime.md, "Control"): one program at a time.
#ifndef LCP_TVM_WORKER_NODE_H_
#define LCP_TVM_WORKER_NODE_H_

#include <tvm/ffi/container/array.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/string.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine.h"
#include "functions.h"
#include "memory.h"

namespace lcp_tvm::worker {

struct NodeOptions {
  EngineOptions engine;
  uint64_t memory_bytes = 0;
  std::string files;
  std::string config = "none";
};

/*! \brief Any thread may call any of these at any time; they throw ffi errors. */
class Node {
 public:
  explicit Node(NodeOptions options);

  std::string Hello() const;
  std::string Has(const std::string& json) const;
  void Store(const std::string& sha256, uint64_t offset, uint64_t size,
             const tvm::ffi::Bytes& bytes);
  void Load(const std::string& text);
  void Bind(const std::string& name, tvm::ffi::Function function);
  std::string Prepare(const std::string& json);
  void Connect(const std::string& json, int timeout_ms);
  void AddRoute(const std::string& json);
  void Keep(const std::string& name, const std::vector<const DLTensor*>& inputs);
  void Begin(uint64_t frame, uint32_t route, const std::string& name,
             const std::vector<tvm::ffi::Tensor>& inputs);
  void End(uint64_t frame);
  tvm::ffi::Array<tvm::ffi::Any> Next(int timeout_ms);
  std::string Silent();
  std::string Stats();
  void Unload();

 private:
  /*! \brief The engine of the program; fails when there is none. */
  std::shared_ptr<Engine> Running() const;
  void CheckFits(const Program& program) const;

  const NodeOptions options_;
  Functions functions_;
  std::shared_ptr<MemoryBudget> budget_;
  mutable std::mutex mutex_;
  Charge weights_;
  std::shared_ptr<Engine> engine_;
};

/*! \brief Read a node's options. */
NodeOptions ReadNodeOptions(const std::string& text);

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_NODE_H_
