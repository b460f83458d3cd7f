// lcp-agent: a board that serves networks over TVM RPC, without Python.
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include "handshake.h"
#include "libraries.h"
#include "options.h"
#include "report.h"
#include "supervisor.h"
#include "temporary_folder.h"

namespace lcp_tvm::agent {

namespace {

namespace fs = std::filesystem;

constexpr int kUserError = 2;
constexpr int kBacklog = 16;

/*! \brief The JSON of the board's config, which may be a file; empty when there is none. */
std::string ReadConfig(const std::string& vta) {
  if (vta.empty() || vta[0] == '{') {
    return vta;
  }
  std::ifstream file(vta, std::ios::binary);
  std::string json{std::istreambuf_iterator<char>(file), {}};
  if (!file) {
    throw std::runtime_error("VTA config " + vta + " cannot be read");
  }
  return json;
}

/*! \brief Declare the board's config; its name. */
std::string SetBoard(const Libraries& libraries, const Options& options) {
  const std::string json = ReadConfig(options.vta);
  if (json.empty()) {
    return "none";
  }
  char name[LCP_MAX_CONFIG_NAME] = "unnamed";
  if (json != options.vta) {
    std::snprintf(name, sizeof(name), "%s", fs::path(options.vta).stem().c_str());
  }
  if (const char* error = libraries.set_board(json.c_str(), name)) {
    throw std::runtime_error(error);
  }
  return name;
}

/*! \brief As a JSON string; control characters are no part of what we quote. */
std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
    }
    quoted += c;
  }
  return quoted + "\"";
}

std::string BoardOptions(const Options& options) {
  const std::string memory = options.board.empty() ? "auto" : options.board;
  return "{\"memory\": " + Quoted(memory) + ", \"root\": " + Quoted(options.root) + "}";
}

/*! \brief Print what the board has and lacks. */
void PrintProbe(const Libraries& libraries, const Options& options) {
  const fs::path self_test = fs::read_symlink("/proc/self/exe").parent_path() / "self_test.vta";
  const char* facts = nullptr;
  const char* error =
      libraries.probe(BoardOptions(options).c_str(), ReadConfig(options.vta).c_str(),
                      fs::exists(self_test) ? self_test.c_str() : "", &facts);
  if (error != nullptr) {
    throw std::runtime_error(error);
  }
  std::puts(facts);
}

Descriptor Listen(const Address& address, const Options& options) {
  Descriptor listener(
      socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  const int yes = 1;
  setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  if (!listener.is_open() || bind(listener.get(), address.get(), address.size) != 0 ||
      listen(listener.get(), kBacklog) != 0) {
    throw std::runtime_error("worker: cannot listen on " + options.host + ":" +
                             std::to_string(options.port) + ": " + std::strerror(errno) +
                             "; choose another --host or --port (0: a free one)");
  }
  return listener;
}

Address ResolveOption(const char* option, const std::string& host, uint16_t port) {
  try {
    return Resolve(host, port);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(std::string(option) + " '" + host + "': " + error.what());
  }
}

/*! \brief Serve one client, in the session's process. */
void Serve(int connection, const Libraries& libraries, const LcpSession& session,
           const std::string& key) {
  LcpSession own = session;
  own.connection = connection;
  const std::string welcome = ReplyBytes(Reply::kWelcome, key);
  send(connection, welcome.data(), welcome.size(), MSG_NOSIGNAL);
  if (const char* error = libraries.serve_session(&own)) {
    Say(std::string("worker: a session ended: ") + error);
  }
}

void Run(const Options& options) {
  if (options.attached) {
    prctl(PR_SET_PDEATHSIG, SIGCONT);  // stopped, it would not see that nobody holds the pipe
  }
  const Libraries libraries = LoadLibraries(options.libraries);
  if (options.probe) {
    PrintProbe(libraries, options);
    return;
  }
  const std::string config = SetBoard(libraries, options);
  if (!options.board.empty()) {
    if (const char* error = libraries.use_board(BoardOptions(options).c_str())) {
      throw std::runtime_error(error);
    }
  }
  const Address address = ResolveOption("--host", options.host, options.port);
  Descriptor listener = Listen(address, options);
  const uint16_t port = BoundTo(listener.get()).Port();
  const std::string key = "lcp-" + config;
  std::optional<Tracker> tracker;
  if (!options.tracker_host.empty()) {
    const Address there = ResolveOption("--tracker", options.tracker_host, options.tracker_port);
    tracker.emplace(there, options.tracker_host + ":" + std::to_string(options.tracker_port), key,
                    port);
  }

  const TemporaryFolder temporary;
  const std::string folder = temporary.path() / "session";
  const std::string files =
      options.files.empty() ? temporary.path() / "files" : fs::absolute(options.files);
  const std::string host = address.Host();
  const LcpSession session = {-1,           folder.c_str(), files.c_str(),       config.c_str(),
                              host.c_str(), options.cores,  options.memory_bytes};
  Supervisor supervisor(std::move(listener), std::move(tracker),
                        options.attached ? STDIN_FILENO : -1,
                        {[&](int connection) { Serve(connection, libraries, session, key); },
                         [&folder] {
                           std::error_code error;
                           fs::remove_all(folder, error);
                         }});
  const bool bracketed = options.host.find(':') != std::string::npos;
  std::printf("lcp-tvm worker listening on %s%s%s:%d\n", bracketed ? "[" : "", options.host.c_str(),
              bracketed ? "]" : "", port);
  std::fflush(stdout);
  supervisor.Run();
}

}  // namespace

}  // namespace lcp_tvm::agent

int main(int count, char** arguments) {
  using lcp_tvm::agent::Say;
  try {
    const auto options = lcp_tvm::agent::ReadOptions(count, arguments);
    if (!options.has_value()) {
      std::fputs(lcp_tvm::agent::kUsage, stdout);
      return EXIT_SUCCESS;
    }
    lcp_tvm::agent::Run(*options);
    return EXIT_SUCCESS;
  } catch (const std::exception& error) {
    Say(error.what());
    return lcp_tvm::agent::kUserError;
  }
}
