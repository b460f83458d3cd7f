#include "program_runner.h"

#include "fail.h"
#include "layout.h"
#include "process_board.h"

namespace lcp_tvm::vta {

namespace {

template <class Shape>
std::string ShapeText(const Shape& shape) {
  std::string text = "[";
  for (const int64_t dim : shape) {
    text += (text.size() == 1 ? "" : ", ") + std::to_string(dim);
  }
  return text + "]";
}

int8_t* Data(const tvm::ffi::TensorView& tensor) {
  return static_cast<int8_t*>(tensor.data_ptr()) + tensor.byte_offset();
}

}  // namespace

void ProgramRunner::CheckTensor(const tvm::ffi::TensorView& tensor, const TensorSlot& slot,
                                const char* role) const {
  const auto refuse = [&](const std::string& found) {
    FailProgram("program '" + program_.symbol + "': " + role + " '" + slot.name + "' must be a " +
                "contiguous int8 CPU tensor of shape " + ShapeText(slot.shape) + ", it " + found);
  };
  if (tensor.device().device_type != kDLCPU) {
    refuse("is on device type " + std::to_string(tensor.device().device_type));
  }
  const DLDataType dtype = tensor.dtype();
  if (dtype.code != kDLInt || dtype.bits != 8 || dtype.lanes != 1) {
    refuse("has type code " + std::to_string(dtype.code) + " with " + std::to_string(dtype.bits) +
           " bits");
  }
  bool same = static_cast<size_t>(tensor.ndim()) == slot.shape.size();
  for (size_t d = 0; same && d < slot.shape.size(); ++d) {
    same = tensor.size(static_cast<int64_t>(d)) == slot.shape[d];
  }
  if (!same) {
    refuse("has shape " + ShapeText(tensor.shape()));
  }
  if (!tensor.IsContiguous()) {
    refuse("is not contiguous");
  }
}

void ProgramRunner::Run(const std::vector<tvm::ffi::TensorView>& tensors) {
  if (tensors.size() != arity()) {
    FailProgram("program '" + program_.symbol + "' takes " + std::to_string(arity()) +
                " tensors (" + std::to_string(program_.inputs.size()) +
                " inputs, then the outputs), " + std::to_string(tensors.size()) + " were given");
  }
  const size_t inputs = program_.inputs.size();
  for (size_t i = 0; i < tensors.size(); ++i) {
    const bool input = i < inputs;
    CheckTensor(tensors[i], input ? program_.inputs[i] : program_.outputs[i - inputs],
                input ? "input" : "output");
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  if (device_ == nullptr) {
    device_ = ProcessBoard::Instance().Make(config_, program_.dram_size);
    device_->Write(0, program_.image.data(), program_.image.size());
  }
  stats_.reset();
  for (size_t i = 0; i < inputs; ++i) {
    const TensorSlot& slot = program_.inputs[i];
    staging_.resize(slot.bytes);
    PackElements(Data(tensors[i]), slot.layout, staging_.data());
    device_->Write(slot.address, staging_.data(), slot.bytes);
  }
  stats_ = device_->Run(program_.insn_addr, program_.insn_count, program_.layers);
  for (size_t i = 0; i < program_.outputs.size(); ++i) {
    const TensorSlot& slot = program_.outputs[i];
    staging_.resize(slot.bytes);
    device_->Read(slot.address, staging_.data(), slot.bytes);
    UnpackElements(staging_.data(), slot.layout, Data(tensors[inputs + i]));
  }
}

const Stats& ProgramRunner::LastRun() const {
  if (!stats_) {
    FailProgram("program '" + program_.symbol + "' has not run yet, or its last run failed");
  }
  return *stats_;
}

std::string ProgramRunner::StatsText() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return StatsJson(LastRun());
}

std::string ProgramRunner::Dram() {
  const std::lock_guard<std::mutex> lock(mutex_);
  LastRun();
  std::string bytes(program_.dram_size, '\0');
  device_->Read(0, bytes.data(), bytes.size());
  return bytes;
}

}  // namespace lcp_tvm::vta
