#include "options.h"

#include <getopt.h>
#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

namespace lcp_tvm::agent {

const char* const kUsage =
    R"(Usage: lcp-agent [OPTIONS]

Serve networks over TVM RPC, one session at a time, until Ctrl-C. A session runs
in a process of its own: when it crashes, the next one finds the agent ready.

  --host HOST          Address to listen on, 0.0.0.0 for all. TVM RPC has no
                       password: anyone who reaches the port can run code here.
                       [127.0.0.1]
  --port PORT          Port to listen on; 0 takes a free one. [0]
  --tracker HOST:PORT  TVM RPC tracker to register with.
  --vta CONFIG         File of this board's VTA config, or its JSON text.
                       Programs of another are refused.
  --board MEMORY       Run programs on this board's accelerator, with memory of
                       xrt, cma or udmabuf, or the first there is: auto.
                       [a simulator runs them]
  --root DIR           Where the board's /dev, /sys and /usr/lib are. [/]
  --probe              Say what this board has and lacks, as JSON, and end.
  --cores N            Compute threads. [those this process may use]
  --memory MB          Most memory for constants and tensors. [no limit]
  --files DIR          Keep uploaded modules there, for later runs too.
                       [a temporary folder]
  --libraries DIR      Where libtvm_ffi.so, libtvm_runtime.so and liblcp_tvm.so
                       are, if not where a wheel has them; may be given again.
  --attached           End when standard input, a pipe, is closed.
  -h, --help           Show this.

Examples:
  lcp-agent --port 9090
  lcp-agent --host 0.0.0.0 --vta ultra96.json --tracker 192.168.2.1:9190
  lcp-agent --vta pynq_z1.json --board auto --probe
  lcp-agent --cores 2 --memory 64 --files /var/lib/lcp-tvm
)";

namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kMaxMemory = uint64_t{1} << 24;  // MB

uint64_t ReadNumber(const std::string& option, const std::string& text, uint64_t low,
                    uint64_t high) {
  const bool digits = !text.empty() && text.size() <= 9 &&
                      text.find_first_not_of("0123456789") == std::string::npos;
  const uint64_t value = digits ? std::strtoull(text.c_str(), nullptr, 10) : 0;
  if (!digits || value < low || value > high) {
    throw std::invalid_argument(option + " '" + text + "': must be a number from " +
                                std::to_string(low) + " to " + std::to_string(high));
  }
  return value;
}

uint16_t ReadPort(const std::string& option, const std::string& text, uint64_t low) {
  return static_cast<uint16_t>(ReadNumber(option, text, low, UINT16_MAX));
}

/*! \brief HOST:PORT; an IPv6 host stands in brackets. */
void ReadTracker(const std::string& text, Options* options) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) {
    throw std::invalid_argument("--tracker '" + text +
                                "': must be HOST:PORT, for example 192.168.2.99:9190");
  }
  const bool bracketed = text[0] == '[' && colon > 2 && text[colon - 1] == ']';
  options->tracker_host = bracketed ? text.substr(1, colon - 2) : text.substr(0, colon);
  options->tracker_port = ReadPort("--tracker", text.substr(colon + 1), 1);
}

int UsableCores() {
  cpu_set_t cores;
  return sched_getaffinity(0, sizeof(cores), &cores) == 0 ? std::max(CPU_COUNT(&cores), 1) : 1;
}

}  // namespace

std::optional<Options> ReadOptions(int count, char** arguments) {
  enum {
    kHost = 1,
    kPort,
    kTracker,
    kVta,
    kBoard,
    kRoot,
    kProbe,
    kCores,
    kMemory,
    kFiles,
    kLibraries,
    kAttached
  };
  const option known[] = {
      {"host", required_argument, nullptr, kHost},
      {"port", required_argument, nullptr, kPort},
      {"tracker", required_argument, nullptr, kTracker},
      {"vta", required_argument, nullptr, kVta},
      {"board", required_argument, nullptr, kBoard},
      {"root", required_argument, nullptr, kRoot},
      {"probe", no_argument, nullptr, kProbe},
      {"cores", required_argument, nullptr, kCores},
      {"memory", required_argument, nullptr, kMemory},
      {"files", required_argument, nullptr, kFiles},
      {"libraries", required_argument, nullptr, kLibraries},
      {"attached", no_argument, nullptr, kAttached},
      {"help", no_argument, nullptr, 'h'},
      {nullptr, 0, nullptr, 0},
  };
  Options options;
  options.cores = UsableCores();
  opterr = 0;
  for (int code = 0; (code = getopt_long(count, arguments, ":h", known, nullptr)) != -1;) {
    const std::string text = optarg != nullptr ? optarg : "";
    switch (code) {
      case kHost:
        options.host = text;
        break;
      case kPort:
        options.port = ReadPort("--port", text, 0);
        break;
      case kTracker:
        ReadTracker(text, &options);
        break;
      case kVta:
        options.vta = text;
        break;
      case kBoard:
        options.board = text;
        break;
      case kRoot:
        options.root = text;
        break;
      case kProbe:
        options.probe = true;
        break;
      case kCores:
        options.cores = static_cast<int>(ReadNumber("--cores", text, 1, CPU_SETSIZE));
        break;
      case kMemory:
        options.memory_bytes = ReadNumber("--memory", text, 1, kMaxMemory) * kMiB;
        break;
      case kFiles:
        options.files = text;
        break;
      case kLibraries:
        options.libraries.push_back(text);
        break;
      case kAttached:
        options.attached = true;
        break;
      case 'h':
        return std::nullopt;
      default:
        throw std::invalid_argument(std::string(arguments[optind - 1]) +
                                    (code == ':' ? ": needs a value" : ": is no option") +
                                    "; see lcp-agent --help");
    }
  }
  if (optind < count) {
    throw std::invalid_argument(std::string(arguments[optind]) +
                                ": is no option; see lcp-agent --help");
  }
  if (!options.board.empty() && options.vta.empty()) {
    throw std::invalid_argument("--board needs the board's config; say it with --vta");
  }
  return options;
}

}  // namespace lcp_tvm::agent
