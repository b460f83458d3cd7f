#include "self_test.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <vector>

#include "src/fail.h"
#include "src/program_file.h"

namespace lcp_tvm::driver {

namespace {

constexpr int kRuns = 3;

using Bytes = std::vector<uint8_t>;

/*! \brief Run a program on a device; its outputs, one after the other. */
Bytes Outputs(const vta::Program& program, const Bytes& inputs, vta::Device* device, double* ms) {
  size_t taken = 0;
  for (const vta::TensorSlot& slot : program.inputs) {
    device->Write(slot.address, inputs.data() + taken, slot.bytes);
    taken += slot.bytes;
  }
  *ms = std::min(*ms, device->Run(program.insn_addr, program.insn_count, {}).ms);
  Bytes outputs;
  for (const vta::TensorSlot& slot : program.outputs) {
    outputs.resize(outputs.size() + slot.bytes);
    device->Read(slot.address, outputs.data() + outputs.size() - slot.bytes, slot.bytes);
  }
  return outputs;
}

Bytes RandomInputs(const vta::Program& program) {
  uint64_t size = 0;
  for (const vta::TensorSlot& slot : program.inputs) {
    size += slot.bytes;
  }
  Bytes inputs(size);
  std::minstd_rand random;  // the same on every board
  std::generate(inputs.begin(), inputs.end(), [&] { return static_cast<uint8_t>(random() >> 8); });
  return inputs;
}

}  // namespace

double SelfTest(const std::string& file, const BoardOptions& options) {
  std::ifstream stream(file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  if (bytes.empty()) {
    vta::FailProgram("the self-test " + file + " cannot be read; install the kit again");
  }
  const vta::ParsedFile parsed = vta::ParseProgramFile(bytes);
  if (parsed.programs.empty()) {
    vta::FailProgram("the self-test " + file + " has no program");
  }
  const vta::Program& program = parsed.programs[0];
  const Bytes inputs = RandomInputs(program);

  double ignored = 0;
  const auto simulator = vta::MakeSimulatedDevice(parsed.config, program.dram_size);
  simulator->Write(0, program.image.data(), program.image.size());
  const Bytes wanted = Outputs(program, inputs, simulator.get(), &ignored);

  const auto board = std::make_shared<Board>(options, parsed.config.target);
  const auto device = MakeBoardDevice(parsed.config, program.dram_size, board);
  device->Write(0, program.image.data(), program.image.size());
  double ms = std::numeric_limits<double>::max();
  for (int i = 0; i < kRuns; ++i) {
    const Bytes found = Outputs(program, inputs, device.get(), &ms);
    const auto wrong = std::mismatch(wanted.begin(), wanted.end(), found.begin()).first;
    if (wrong != wanted.end()) {
      vta::FailBoard("the accelerator gives other bits than the simulator, at byte " +
                     std::to_string(wrong - wanted.begin()) + " of " +
                     std::to_string(wanted.size()) +
                     "; load the bitstream again, and check that its parameters and clock are "
                     "those of the VTA config");
    }
  }
  return ms;
}

}  // namespace lcp_tvm::driver
