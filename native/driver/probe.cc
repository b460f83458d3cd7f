#include "probe.h"

#include <gnu/libc-version.h>
#include <sys/utsname.h>
#include <tvm/ffi/error.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <optional>

#include "self_test.h"

namespace lcp_tvm::driver {

namespace {

constexpr double kMinMemoryMb = 64;
constexpr double kMinContiguousMb = 32;
constexpr double kMaxCelsius = 85;

std::string Rounded(double value, const char* unit) {
  return std::to_string(std::lround(value)) + " " + unit;
}

/*! \brief The rest of the first line of a file that begins with a word. */
std::optional<std::string> LineOf(const Root& root, const char* path, const std::string& word) {
  std::ifstream file(root.At(path));
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, word.size(), word) == 0) {
      const size_t colon = line.find(':');
      return colon == std::string::npos ? "" : line.substr(colon + 1);
    }
  }
  return std::nullopt;
}

/*! \brief An entry of /proc/meminfo, in MB. */
double Megabytes(const Root& root, const char* entry) {
  return std::strtod(LineOf(root, "/proc/meminfo", entry).value_or("0").c_str(), nullptr) / 1024;
}

Fact Kernel() {
  utsname name{};
  uname(&name);
  return {"kernel", std::string(name.release) + " on " + name.machine, ""};
}

Fact Processor(const Root& root) {
  const std::string features = LineOf(root, "/proc/cpuinfo", "Features").value_or("");
  for (const char* simd : {" asimd", " neon"}) {
    if ((features + " ").find(std::string(simd) + " ") != std::string::npos) {
      return {"processor", simd + 1, ""};
    }
  }
  return {"processor", "no NEON", "networks for ARM need it; use another board"};
}

Fact Memory(const Root& root) {
  const double available = Megabytes(root, "MemAvailable");
  return {"memory", Rounded(available, "MB free of ") + Rounded(Megabytes(root, "MemTotal"), "MB"),
          available < kMinMemoryMb ? "end other programs, such as a desktop or Jupyter" : ""};
}

Fact ContiguousMemory(const Root& root) {
  const double free = Megabytes(root, "CmaFree");
  return {"contiguous memory",
          Rounded(free, "MB free of ") + Rounded(Megabytes(root, "CmaTotal"), "MB"),
          free < kMinContiguousMb ? "add cma=128M to the kernel's bootargs, or end other programs "
                                    "that use the FPGA"
                                  : ""};
}

Fact FpgaManager(const Root& root) {
  const auto state = root.Word("/sys/class/fpga_manager/fpga0/state");
  if (!state.has_value()) {
    return {"FPGA manager", "missing", "use an image whose kernel has CONFIG_FPGA, as PYNQ's have"};
  }
  return {
      "FPGA manager", *state,
      *state == "operating" ? "" : "load a design: lcp-tvm board program HOST --bitstream FILE"};
}

Fact Bitstream(const Root& root) {
  // `lcp-tvm board program` leaves its name there.
  const auto name = root.Word("/lib/firmware/lcp-tvm-vta.name");
  return {"bitstream", name.value_or("unknown"),
          name.has_value() ? "" : "load it: lcp-tvm board program HOST --bitstream FILE"};
}

/*! \brief The clock of the accelerator on Zynq-7000: FCLK0 of the PLL for peripherals. */
Fact Clock(const Root& root, const vta::Config& config) {
  constexpr uint64_t kSlcr = 0xF8000000;
  constexpr uint32_t kIoPll = 0x108;
  constexpr uint32_t kFclk0 = 0x170;
  constexpr double kCrystalMhz = 50;  // of PYNQ-Z1 and Z2
  const std::string wanted = Rounded(config.clock_hz * 1e-6, "MHz");
  const Mapped slcr(root.At("/dev/mem"), kSlcr, 4096, false);
  if (config.target != "pynq" || !slcr.is_open()) {
    return {"clock", "unknown, should be " + wanted, ""};
  }
  const auto word = [&](uint32_t offset) {
    return *reinterpret_cast<const volatile uint32_t*>(slcr.data() + offset);
  };
  const double pll = kCrystalMhz * (word(kIoPll) >> 12 & 0x7F);
  const double divisor = (word(kFclk0) >> 8 & 0x3F) * (word(kFclk0) >> 20 & 0x3F);
  const double mhz = divisor == 0 ? 0 : pll / divisor;
  const bool right = std::abs(mhz * 1e6 - config.clock_hz) < 0.05 * config.clock_hz;
  return {"clock", Rounded(mhz, "MHz"),
          right ? "" : "set FCLK0 to " + wanted + ", in Python: pynq.Clocks.fclk0_mhz"};
}

Fact Temperature(const Root& root) {
  constexpr double kMilli = 1e-3;
  const auto number = [&](const char* path) {
    return std::strtod(root.Word(path).value_or("0").c_str(), nullptr);
  };
  std::optional<double> celsius;
  if (root.Has("/sys/class/thermal/thermal_zone0/temp")) {
    celsius = kMilli * number("/sys/class/thermal/thermal_zone0/temp");
  } else if (root.Has("/sys/bus/iio/devices/iio:device0/in_temp0_raw")) {  // the XADC of a Zynq
    celsius = kMilli * number("/sys/bus/iio/devices/iio:device0/in_temp0_scale") *
              (number("/sys/bus/iio/devices/iio:device0/in_temp0_raw") +
               number("/sys/bus/iio/devices/iio:device0/in_temp0_offset"));
  }
  if (!celsius.has_value()) {
    return {"temperature", "no sensor", ""};
  }
  return {"temperature", Rounded(*celsius, "C"), *celsius > kMaxCelsius ? "cool the board" : ""};
}

/*! \brief What an action returns, or its error as what is missing. */
Fact Tried(const std::string& name, const std::function<std::string()>& action) {
  try {
    return {name, action(), ""};
  } catch (const tvm::ffi::Error& error) {
    return {name, "missing", std::string(error.message())};
  }
}

}  // namespace

std::vector<Fact> Probe(const BoardOptions& options, const std::string& config_json,
                        const std::string& self_test) {
  const Root root(options.root);
  std::vector<Fact> facts = {Kernel(),
                             {"C library", std::string("glibc ") + gnu_get_libc_version(), ""},
                             Processor(root),
                             Memory(root),
                             Temperature(root)};
  if (config_json.empty()) {
    return facts;
  }
  const vta::Config config = vta::ParseConfig(config_json);
  for (Fact& fact : std::vector<Fact>{ContiguousMemory(root), FpgaManager(root), Bitstream(root),
                                      Clock(root, config)}) {
    facts.push_back(std::move(fact));
  }
  facts.push_back(Tried("allocator",
                        [&] { return std::string(OpenContiguous(root, options.memory)->name()); }));
  if (!self_test.empty()) {
    facts.push_back(Tried("self-test", [&] {
      const double ms = SelfTest(self_test, options);
      return "right, in " + std::to_string(ms).substr(0, 5) + " ms";
    }));
  }
  return facts;
}

}  // namespace lcp_tvm::driver
