#include "simulator.h"

#include <tvm/ffi/container/array.h>
#include <tvm/ffi/container/map.h>
#include <tvm/ffi/extra/json.h>
#include <tvm/ffi/string.h>

#include <algorithm>

#include "fail.h"
#include "json_reader.h"
#include "schedule.h"

namespace lcp_tvm::vta {

namespace ffi = tvm::ffi;

namespace {

constexpr double kLaunchMs = 0.017;  // vta.md, "Time"
constexpr std::array<const char*, 5> kOpcodeNames = {"LOAD", "STORE", "GEMM", "FINISH", "ALU"};

void Count(const Step& step, Counters* to) {
  to->units[step.unit] += step.work.cycles;
  ++to->instructions[static_cast<size_t>(step.insn.opcode)];
  to->gemm_uops += step.work.gemm_uops;
  to->alu_uops += step.work.alu_uops;
  if (step.insn.opcode == isa::Opcode::kLoad || step.insn.opcode == isa::Opcode::kStore) {
    const auto memory = static_cast<size_t>(step.insn.memory_type);
    to->bytes[memory] += step.work.bytes;
    to->rows[memory] += step.work.rows;
  }
}

Stats CountAll(const Config& config, const SimOptions& options, const Stream& stream,
               const Schedule& schedule) {
  Stats stats;
  for (const Step& step : stream.steps) {
    Count(step, &stats.total);
  }
  stats.total.cycles = schedule.cycles;
  stats.ms = schedule.cycles / config.clock_hz * 1e3 + kLaunchMs;
  double before = 0;
  for (const LayerRange& layer : options.layers) {
    Counters& counters = stats.layers.emplace_back();
    double end = before;
    for (uint64_t i = layer.first; i < layer.first + layer.count; ++i) {
      Count(stream.steps[i], &counters);
      end = std::max(end, schedule.slots[i].finish);
    }
    counters.cycles = end - before;
    before = end;
  }
  return stats;
}

ffi::json::Object ToJson(const Counters& counters) {
  ffi::json::Object units, instructions, bytes, rows, out;
  for (int u = 0; u < kNumUnits; ++u) {
    units.Set(ffi::String(kUnitNames[u]), counters.units[u]);
  }
  for (size_t k = 0; k < kOpcodeNames.size(); ++k) {
    instructions.Set(ffi::String(kOpcodeNames[k]), static_cast<int64_t>(counters.instructions[k]));
  }
  for (int m = 0; m < kNumMemories; ++m) {
    bytes.Set(ffi::String(kMemoryNames[m]), static_cast<int64_t>(counters.bytes[m]));
    rows.Set(ffi::String(kMemoryNames[m]), static_cast<int64_t>(counters.rows[m]));
  }
  out.Set(ffi::String("cycles"), counters.cycles);
  out.Set(ffi::String("units"), units);
  out.Set(ffi::String("instructions"), instructions);
  out.Set(ffi::String("gemm_uops"), static_cast<int64_t>(counters.gemm_uops));
  out.Set(ffi::String("alu_uops"), static_cast<int64_t>(counters.alu_uops));
  out.Set(ffi::String("bytes"), bytes);
  out.Set(ffi::String("rows"), rows);
  return out;
}

}  // namespace

SimOptions ParseOptions(std::string_view json, const Config& config) {
  const JsonReader reader = JsonReader::Parse(json, "simulator options", FailConfig);
  for (const std::string& key : reader.Keys()) {
    if (key != "mode" && key != "hazard" && key != "hazard_distance" && key != "layers") {
      FailConfig("simulator options: key '" + key +
                 "' is unknown, allowed are mode, hazard, hazard_distance, layers");
    }
  }
  SimOptions options;
  const std::string mode = reader.Has("mode") ? reader.Text("mode") : "pynq";
  const std::string hazard = reader.Has("hazard") ? reader.Text("hazard") : "error";
  if (mode != "pynq" && mode != "chisel") {
    FailConfig("simulator options: mode is '" + mode + "', allowed are pynq, chisel");
  }
  if (hazard != "error" && hazard != "stale") {
    FailConfig("simulator options: hazard is '" + hazard + "', allowed are error, stale");
  }
  options.machine.mode = mode == "pynq" ? Mode::kPynq : Mode::kChisel;
  options.machine.hazard = mode == "chisel"    ? Hazard::kForwarded
                           : hazard == "error" ? Hazard::kError
                                               : Hazard::kStale;
  const int64_t distance = reader.IntOr("hazard_distance", config.hazard_distance, 0, 1024);
  options.machine.hazard_distance = mode == "chisel" ? 0 : static_cast<int>(distance);
  if (reader.Has("layers")) {
    for (const std::vector<int64_t>& row : reader.IntRows("layers", 0, UINT32_MAX)) {
      if (row.size() != 2) {
        FailConfig("simulator options: an entry of layers is not [first, count]");
      }
      options.layers.push_back({static_cast<uint64_t>(row[0]), static_cast<uint64_t>(row[1])});
    }
  }
  return options;
}

Stats Simulate(const Config& config, const SimOptions& options, uint8_t* dram, uint64_t dram_size,
               uint64_t address, uint64_t count) {
  const Stream stream = DecodeStream(config, options.machine.mode, dram, dram_size, address, count);
  for (const LayerRange& layer : options.layers) {
    if (layer.first + layer.count > count) {
      FailConfig("layer [" + std::to_string(layer.first) + ", " +
                 std::to_string(layer.first + layer.count) + ") lies outside the stream of " +
                 std::to_string(count) + " instructions");
    }
  }
  const Schedule schedule = RunQueues(stream);
  Machine machine(config, options.machine, stream, schedule, dram, dram_size, address,
                  address + count * kInsnBytes);
  for (const uint32_t index : schedule.order) {
    machine.Execute(index);
  }
  return CountAll(config, options, stream, schedule);
}

std::string StatsJson(const Stats& stats) {
  ffi::json::Object out = ToJson(stats.total);
  ffi::json::Array layers;
  for (const Counters& layer : stats.layers) {
    layers.push_back(ToJson(layer));
  }
  out.Set(ffi::String("ms"), stats.ms);
  out.Set(ffi::String("layers"), layers);
  return std::string(ffi::json::Stringify(out));
}

}  // namespace lcp_tvm::vta
