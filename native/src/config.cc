#include "config.h"

#include <array>
#include <cmath>

#include "fail.h"
#include "json_reader.h"

namespace lcp_tvm::vta {

const char* const kMemoryNames[kNumMemories] = {"UOP", "WGT", "INP", "ACC", "OUT", "ACC_8BIT"};

namespace {

struct Family {
  const char* target;
  double clock_hz;
  double bus_scale;
};

// vta.md, "Parameters"; sim and de10nano are modelled with the PYNQ's figures.
constexpr std::array<Family, 5> kFamilies = {{{"pynq", 100e6, 1.0},
                                              {"ultra96", 333e6, 2.0},
                                              {"zcu104", 333e6, 2.0},
                                              {"de10nano", 100e6, 1.0},
                                              {"sim", 100e6, 1.0}}};

// What a bitstream is built from; programs for other values would not run on it.
constexpr std::array<const char*, 11> kHardwareKeys = {
    "TARGET",           "HW_VER",    "LOG_INP_WIDTH",     "LOG_WGT_WIDTH",     "LOG_ACC_WIDTH",
    "LOG_BATCH",        "LOG_BLOCK", "LOG_UOP_BUFF_SIZE", "LOG_INP_BUFF_SIZE", "LOG_WGT_BUFF_SIZE",
    "LOG_ACC_BUFF_SIZE"};

JsonReader ReadConfig(std::string_view json) {
  return JsonReader::Parse(json, "VTA config", FailConfig);
}

int LogDepth(const JsonReader& reader, const std::string& key, int log_element) {
  // The upper limits keep every index inside its instruction field, and depths inside memory.
  const int log_bytes = static_cast<int>(reader.Int(key, log_element, log_element + 16));
  return log_bytes - log_element;
}

}  // namespace

int64_t Config::ElementBytes(int memory) const {
  const std::array<int64_t, kNumMemories> bytes = {kUopBytes, wgt_bytes, inp_bytes,
                                                   acc_bytes, inp_bytes, inp_bytes};
  return bytes.at(memory);
}

int64_t Config::Depth(int memory) const {
  const std::array<int64_t, kNumMemories> depths = {uop_depth, wgt_depth, inp_depth,
                                                    acc_depth, out_depth, acc_depth};
  return depths.at(memory);
}

Config ParseConfig(std::string_view json) {
  const JsonReader reader = ReadConfig(json);
  Config config{};
  config.text = reader.Dump();
  config.target = reader.Text("TARGET");
  bool known = false;
  for (const Family& family : kFamilies) {
    if (config.target == family.target) {
      config.clock_hz = family.clock_hz;
      config.bus_scale = family.bus_scale;
      known = true;
    }
  }
  if (!known) {
    FailConfig("VTA config: key 'TARGET' is '" + config.target +
               "', allowed are pynq, ultra96, zcu104, de10nano, sim");
  }
  reader.Text("HW_VER");
  reader.Int("LOG_INP_WIDTH", 3, 3);
  reader.Int("LOG_WGT_WIDTH", 3, 3);
  reader.Int("LOG_ACC_WIDTH", 5, 5);
  const int log_batch = static_cast<int>(reader.Int("LOG_BATCH", 0, 4));
  config.log_block = static_cast<int>(reader.Int("LOG_BLOCK", 2, 6));
  config.block = 1 << config.log_block;
  config.batch = 1 << log_batch;
  config.lanes = config.batch * config.block;
  const int log_lanes = log_batch + config.log_block;
  config.inp_bytes = config.lanes;
  config.wgt_bytes = int64_t{config.block} * config.block;
  config.acc_bytes = int64_t{4} * config.lanes;
  config.widths.uop = LogDepth(reader, "LOG_UOP_BUFF_SIZE", 2);
  config.widths.inp = LogDepth(reader, "LOG_INP_BUFF_SIZE", log_lanes);
  config.widths.wgt = LogDepth(reader, "LOG_WGT_BUFF_SIZE", 2 * config.log_block);
  config.widths.acc = LogDepth(reader, "LOG_ACC_BUFF_SIZE", log_lanes + 2);
  config.uop_depth = int64_t{1} << config.widths.uop;
  config.inp_depth = int64_t{1} << config.widths.inp;
  config.wgt_depth = int64_t{1} << config.widths.wgt;
  config.acc_depth = int64_t{1} << config.widths.acc;
  config.out_depth = config.acc_depth;
  config.hazard_distance = static_cast<int>(reader.IntOr("HAZARD_DISTANCE", 4, 0, 1024));
  return config;
}

std::string FirstDifference(const std::string& wanted, const std::string& board) {
  const JsonReader program = ReadConfig(wanted);
  const JsonReader here = ReadConfig(board);
  for (const char* key : kHardwareKeys) {
    const bool text = std::string_view(key) == "TARGET" || std::string_view(key) == "HW_VER";
    const std::string left =
        text ? program.Text(key) : std::to_string(program.Int(key, INT64_MIN, INT64_MAX));
    const std::string right =
        text ? here.Text(key) : std::to_string(here.Int(key, INT64_MIN, INT64_MAX));
    if (left != right) {
      std::string difference(key);
      difference.append(" is ").append(left).append(", this board has ").append(right);
      return difference;
    }
  }
  return "";
}

}  // namespace lcp_tvm::vta
