#include "gather.h"

#include <cstring>
#include <utility>

namespace lcp_tvm::worker {

namespace ffi = tvm::ffi;

Gather::Gather(const std::vector<Read>* reads, int needs)
    : reads_(reads),
      needs_all_(needs < 0),
      missing_(needs < 0 ? static_cast<int>(reads->size()) : needs) {
  uint32_t pieces = 0;
  for (const Read& read : *reads) {
    first_.push_back(pieces);
    left_.push_back(static_cast<uint32_t>(read.pieces.size()));
    pieces += left_.back();
  }
  found_.resize(pieces);
}

void Gather::Put(uint32_t read, uint32_t piece, BlockRef block) {
  BlockRef& place = found_[first_[read] + piece];
  if (place != nullptr) {
    return;
  }
  place = std::move(block);
  if (--left_[read] == 0) {
    --missing_;
  }
}

void Gather::PutAll(int producer, const BlockRef& block) {
  for (uint32_t r = 0; r < reads_->size(); ++r) {
    const Read& read = (*reads_)[r];
    if (read.tensor != block->tensor) {
      continue;
    }
    for (uint32_t p = 0; p < read.pieces.size(); ++p) {
      if (read.pieces[p].producer == producer && Contains(block->box, read.pieces[p].box)) {
        Put(r, p, block);
      }
    }
  }
}

const Block* Gather::Whole(size_t read) const {
  const Block* block = left_.at(read) == 0 ? found_[first_[read]].get() : nullptr;
  const bool is_whole = block != nullptr && block->box == (*reads_)[read].box &&
                        reinterpret_cast<uintptr_t>(block->bytes()) % kAlignment == 0;
  return is_whole ? block : nullptr;
}

Gather::Size Gather::Measure(const Program& program) const {
  Size size;
  for (size_t r = 0; r < reads_->size(); ++r) {
    const Read& read = (*reads_)[r];
    (Whole(r) != nullptr ? size.direct : size.assembled) += program.Bytes(read.tensor, read.box);
  }
  return size;
}

ffi::Tensor Gather::Assemble(const Program& program, size_t number) const {
  const Read& read = (*reads_)[number];
  const TensorFacts& tensor = program.tensors[read.tensor];
  ffi::Tensor array = NewTensor(tensor, read.box);
  auto* to = static_cast<uint8_t*>(array.data_ptr());
  if (!IsComplete(number)) {
    std::memset(to, 0, program.Bytes(read.tensor, read.box));
    return array;
  }
  for (size_t p = 0; p < read.pieces.size(); ++p) {
    const Block& block = *found_[first_[number] + p];
    CopyPart(read.pieces[p].box, tensor.item_bytes, block.bytes(), block.box, to, read.box);
  }
  return array;
}

std::vector<ffi::Tensor> Gather::Arguments(const Program& program) {
  std::vector<ffi::Tensor> arguments;
  for (size_t r = 0; r < reads_->size(); ++r) {
    const Block* whole = Whole(r);
    if (whole != nullptr) {
      arguments.push_back(whole->data);
      continue;
    }
    arguments.push_back(Assemble(program, r));
    for (size_t p = 0; p < (*reads_)[r].pieces.size(); ++p) {
      found_[first_[r] + p].reset();
    }
  }
  if (!needs_all_) {
    const TensorFacts flags{{kDLInt, 32, 1}, sizeof(int32_t), {}};
    Box box;
    box.ndim = 1;
    box.end[0] = static_cast<uint32_t>(reads_->size());
    arguments.push_back(NewTensor(flags, box));
    auto* came = static_cast<int32_t*>(arguments.back().data_ptr());
    for (size_t r = 0; r < reads_->size(); ++r) {
      came[r] = IsComplete(r) ? 1 : 0;
    }
  }
  return arguments;
}

}  // namespace lcp_tvm::worker
