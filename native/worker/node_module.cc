// Nodes as tvm-ffi modules of kind "lcp_node": lcp_tvm.runtime.Node(options_json).
#include <tvm/ffi/cast.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/reflection/registry.h>

#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fail_node.h"
#include "node.h"
#include "src/boundary.h"

namespace lcp_tvm::worker {

namespace ffi = tvm::ffi;

namespace {

uint64_t FrameNumber(int64_t number) {
  if (number < 0) {
    FailNode("frame " + std::to_string(number) + "; numbers begin at 0");
  }
  return static_cast<uint64_t>(number);
}

int Milliseconds(int64_t timeout_ms) {
  if (timeout_ms < 0 || timeout_ms > std::numeric_limits<int>::max()) {
    FailNode("a time of " + std::to_string(timeout_ms) + " ms");
  }
  return static_cast<int>(timeout_ms);
}

class NodeModuleObj final : public ffi::ModuleObj {
 public:
  explicit NodeModuleObj(NodeOptions options) : node_(std::move(options)) {}

  const char* kind() const final { return "lcp_node"; }
  int GetPropertyMask() const final { return ffi::Module::kRunnable; }

  ffi::Optional<ffi::Function> GetFunction(const ffi::String& name) final {
    if (name == "hello") {
      return Typed([](Node& node) { return ffi::String(node.Hello()); });
    }
    if (name == "has") {
      return Typed([](Node& node, const std::string& json) { return ffi::String(node.Has(json)); });
    }
    if (name == "store") {
      return Typed([](Node& node, const std::string& sha256, int64_t offset, int64_t size,
                      const ffi::Bytes& bytes) {
        if (offset < 0 || size < 0) {
          FailNode("a piece of a file at " + std::to_string(offset) + " of " +
                   std::to_string(size));
        }
        node.Store(sha256, static_cast<uint64_t>(offset), static_cast<uint64_t>(size), bytes);
      });
    }
    if (name == "load") {
      return Typed([](Node& node, const std::string& json) { node.Load(json); });
    }
    if (name == "bind") {
      return Typed([](Node& node, const std::string& function, const ffi::Function& callable) {
        node.Bind(function, callable);
      });
    }
    if (name == "prepare") {
      return Typed(
          [](Node& node, const std::string& json) { return ffi::String(node.Prepare(json)); });
    }
    if (name == "connect") {
      return Typed([](Node& node, const std::string& json, int64_t timeout_ms) {
        node.Connect(json, Milliseconds(timeout_ms));
      });
    }
    if (name == "route") {
      return Typed([](Node& node, const std::string& json) { node.AddRoute(json); });
    }
    if (name == "keep") {
      return Packed(&NodeModuleObj::Keep);
    }
    if (name == "begin") {
      return Packed(&NodeModuleObj::Begin);
    }
    if (name == "end") {
      return Typed([](Node& node, int64_t frame) { node.End(FrameNumber(frame)); });
    }
    if (name == "next") {
      return Typed(
          [](Node& node, int64_t timeout_ms) { return node.Next(Milliseconds(timeout_ms)); });
    }
    if (name == "silent") {
      return Typed([](Node& node) { return ffi::String(node.Silent()); });
    }
    if (name == "stats") {
      return Typed([](Node& node) { return ffi::String(node.Stats()); });
    }
    if (name == "unload") {
      return Typed([](Node& node) { node.Unload(); });
    }
    return std::nullopt;
  }

 private:
  /*! \brief A function of the node as a tvm-ffi function, which keeps the module alive. */
  template <typename Action>
  ffi::Function Typed(Action action) {
    return Bound(action, &Action::operator());
  }

  template <typename Action, typename Result, typename... Args>
  ffi::Function Bound(Action action, Result (Action::*)(Node&, Args...) const) {
    const ffi::ObjectPtr<ffi::Object> self = ffi::GetObjectPtr<ffi::Object>(this);
    return AcrossLibraries(ffi::Function::FromTyped(
        [self, action, this](Args... args) -> Result { return action(node_, args...); }));
  }

  ffi::Function Packed(void (NodeModuleObj::*action)(ffi::PackedArgs)) {
    const ffi::ObjectPtr<ffi::Object> self = ffi::GetObjectPtr<ffi::Object>(this);
    return AcrossLibraries(ffi::Function::FromPacked(
        [self, action, this](ffi::PackedArgs args, ffi::Any*) { (this->*action)(args); }));
  }

  /*! \brief (name, tensors...): tensors of this process, or views, as RPC passes them. */
  void Keep(ffi::PackedArgs args) {
    if (args.size() < 1) {
      FailNode("keep takes a name and tensors");
    }
    std::vector<const DLTensor*> inputs;
    for (int i = 1; i < args.size(); ++i) {
      const auto array = args[i].try_cast<DLTensor*>();
      if (!array.has_value()) {
        FailNode("input " + std::to_string(i - 1) + " is no tensor");
      }
      inputs.push_back(*array);
    }
    node_.Keep(args[0].cast<std::string>(), inputs);
  }

  /*! \brief (frame, route, name, tensors...). */
  void Begin(ffi::PackedArgs args) {
    if (args.size() < 3) {
      FailNode("begin takes a frame, a route, a name, and tensors");
    }
    const auto route = args[1].cast<int64_t>();
    if (route < 0 || route > std::numeric_limits<uint32_t>::max()) {
      FailNode("there is no route " + std::to_string(route));
    }
    std::vector<ffi::Tensor> inputs;
    for (int i = 3; i < args.size(); ++i) {
      const auto tensor = args[i].try_cast<ffi::Tensor>();
      if (!tensor.has_value()) {
        FailNode("input " + std::to_string(i - 3) + " is no tensor");
      }
      inputs.push_back(*tensor);
    }
    node_.Begin(FrameNumber(args[0].cast<int64_t>()), static_cast<uint32_t>(route),
                args[2].cast<std::string>(), inputs);
  }

  Node node_;
};

}  // namespace

TVM_FFI_STATIC_INIT_BLOCK() {
  namespace refl = tvm::ffi::reflection;
  refl::GlobalDef().def("lcp_tvm.runtime.Node", [](const ffi::String& options_json) {
    return ffi::Module(ffi::make_object<NodeModuleObj>(ReadNodeOptions(std::string(options_json))));
  });
}

}  // namespace lcp_tvm::worker
