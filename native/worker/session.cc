// A session with a client over TVM RPC: the functions it asks its server for, and the node.
#include "lcp_tvm/session.h"

#include <malloc.h>
#include <tvm/ffi/extra/json.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/function.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>

#include "src/boundary.h"
#include "src/fail.h"
#include "src/json_reader.h"
#include "src/workspace.h"

namespace lcp_tvm::worker {

namespace ffi = tvm::ffi;
namespace fs = std::filesystem;

namespace {

/*! \brief A peer of the node that keeps silent for so long is taken to be gone. */
constexpr int64_t kSilenceMs = 3000;

/*! \brief Tensors from this size on have memory of their own, which goes back when they die. */
constexpr int kOwnMemory = 640 << 10;
/*! \brief The same where memory is short. */
constexpr int kOwnMemoryIfShort = 1 << 18;

/*! \brief The path of an uploaded file; it must not leave the session's folder. */
std::string PathIn(const fs::path& folder, const std::string& name) {
  const fs::path path = (folder / name).lexically_normal();
  const fs::path inside = path.lexically_relative(folder);
  if (inside.empty() || *inside.begin() == ".." || inside == ".") {
    TVM_FFI_THROW(ValueError) << "'" << name << "' leaves the session's folder";
  }
  fs::create_directories(path.parent_path());
  return path.string();
}

/*!
 * \brief Let threads share what is free, and keep little of it: a board has little. Freeing a
 * tensor below the size that has memory of its own must not give pages back, which the next frame
 * would have to take again one by one.
 */
void KeepLittleMemory(bool is_short) {
  const int own = is_short ? kOwnMemoryIfShort : kOwnMemory;
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_MMAP_THRESHOLD, own);
  mallopt(M_TRIM_THRESHOLD, 2 * own);
  KeepWorkspaces(!is_short);
}

std::string NodeOptions(const LcpSession& session) {
  ffi::json::Object options;
  options.Set("cores", static_cast<int64_t>(session.cores));
  options.Set("memory_bytes", static_cast<int64_t>(session.memory_bytes));
  options.Set("files", ffi::String(session.files));
  options.Set("host", ffi::String(session.host));
  options.Set("config", ffi::String(session.config));
  options.Set("silence_ms", kSilenceMs);
  return std::string(ffi::json::Stringify(options));
}

/*! \brief The session's node, made when it is first asked for. */
class LazyNode {
 public:
  explicit LazyNode(std::string options) : options_(std::move(options)) {}

  ffi::Module Get() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!node_.has_value()) {
      node_ = Registered("lcp_tvm.runtime.Node")(ffi::String(options_)).cast<ffi::Module>();
    }
    return *node_;
  }

 private:
  const std::string options_;
  std::mutex mutex_;
  ffi::Optional<ffi::Module> node_;
};

void Register(const LcpSession& session) {
  const fs::path folder = session.folder;
  const auto path_in = [folder](const ffi::String& name) {
    return ffi::String(PathIn(folder, std::string(name)));
  };
  const auto set = [](const char* name, const ffi::Function& function) {
    ffi::Function::SetGlobal(name, AcrossLibraries(function), true);
  };
  set("tvm.rpc.server.workpath", ffi::Function::FromTyped(path_in));
  set("tvm.rpc.server.load_module", ffi::Function::FromTyped([path_in](const ffi::String& name) {
        return Registered("ffi.ModuleLoadFromFile")(path_in(name));
      }));

  ffi::json::Object hello;
  hello.Set("version", Registered("lcp_tvm.Version")().cast<ffi::String>());
  hello.Set("config", ffi::String(session.config));
  hello.Set("pid", static_cast<int64_t>(getpid()));
  const std::string facts(ffi::json::Stringify(hello));
  set("lcp_tvm.rpc.hello", ffi::Function::FromTyped([facts]() { return ffi::String(facts); }));

  const auto node = std::make_shared<LazyNode>(NodeOptions(session));
  set("lcp_tvm.runtime.SessionNode", ffi::Function::FromTyped([node]() { return node->Get(); }));
}

/*! \brief Run a step; its error as text that stays valid. */
template <class Step>
const char* ErrorOf(const Step& step) {
  static std::string text;
  try {
    step();
    return nullptr;
  } catch (const ffi::Error& error) {
    text = error.message();
  } catch (const std::exception& error) {
    text = error.what();
  }
  return text.c_str();
}

}  // namespace

}  // namespace lcp_tvm::worker

using lcp_tvm::worker::ErrorOf;

extern "C" {

__attribute__((visibility("default"))) const char* LcpSetBoard(const char* json, char* name) {
  return ErrorOf([json, name] {
    using lcp_tvm::vta::JsonReader;
    lcp_tvm::Registered("lcp_tvm.vta.SetBoard")(tvm::ffi::String(json));
    const JsonReader config = JsonReader::Parse(json, "VTA config", lcp_tvm::vta::FailConfig);
    if (config.Has("NAME")) {
      std::snprintf(name, LCP_MAX_CONFIG_NAME, "%s", config.Text("NAME").c_str());
    }
  });
}

__attribute__((visibility("default"))) const char* LcpUseBoard(const char* options) {
  return ErrorOf(
      [options] { lcp_tvm::Registered("lcp_tvm.board.Use")(tvm::ffi::String(options)); });
}

__attribute__((visibility("default"))) const char* LcpProbe(const char* options, const char* config,
                                                            const char* self_test,
                                                            const char** facts) {
  return ErrorOf([=] {
    using tvm::ffi::String;
    static std::string answer;
    answer = lcp_tvm::Registered("lcp_tvm.board.Probe")(String(options), String(config),
                                                        String(self_test))
                 .cast<String>();
    *facts = answer.c_str();
  });
}

__attribute__((visibility("default"))) const char* LcpServeSession(const LcpSession* session) {
  return ErrorOf([session] {
    lcp_tvm::worker::KeepLittleMemory(session->memory_bytes > 0);
    lcp_tvm::worker::Register(*session);
    lcp_tvm::Registered("rpc.ServerLoop")(session->connection);
  });
}
}
