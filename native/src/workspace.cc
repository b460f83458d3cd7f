// lcp_tvm.Workspace and lcp_tvm.WorkspaceMap (docs/architecture.md, "Native library").
#include "workspace.h"

#include <tvm/ffi/container/shape.h>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/error.h>
#include <tvm/ffi/reflection/registry.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace lcp_tvm {

namespace ffi = tvm::ffi;

namespace {

/*! \brief Maps begin at multiples of this, as generated code expects. */
constexpr size_t kAlignment = 64;

struct Free {
  void operator()(void* data) const { std::free(data); }
};

/*! \brief Memory of a call. */
struct Room {
  size_t bytes = 0;
  std::unique_ptr<void, Free> data;
};

/*!
 * \brief Rooms that no call has now: as many as calls have run at a time, each as large as the
 * largest of them needed.
 */
class Rooms {
 public:
  Room Take(size_t bytes) {
    Room room = TakeIdle(bytes);
    if (room.bytes < bytes) {
      room = Room();  // goes first, so that both are never there
      const size_t whole = (bytes + kAlignment - 1) / kAlignment * kAlignment;
      room.data.reset(std::aligned_alloc(kAlignment, whole));
      if (room.data == nullptr) {
        TVM_FFI_THROW(RuntimeError) << "there was no memory for " << bytes << " bytes of maps";
      }
      room.bytes = bytes;
    }
    return room;
  }

  void Give(Room room) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (keeps_) {
      idle_.push_back(std::move(room));
    }
  }

  void Keep(bool keeps) {
    const std::lock_guard<std::mutex> lock(mutex_);
    keeps_ = keeps;
    if (!keeps) {
      idle_.clear();
    }
  }

 private:
  /*! \brief The smallest that is large enough, else the largest, else none. */
  Room TakeIdle(size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto best = idle_.end();
    for (auto room = idle_.begin(); room != idle_.end(); ++room) {
      const bool fits = room->bytes >= bytes;
      if (best == idle_.end() ||
          (fits ? best->bytes < bytes || room->bytes < best->bytes : room->bytes > best->bytes)) {
        best = room;
      }
    }
    if (best == idle_.end()) {
      return Room();
    }
    Room room = std::move(*best);
    idle_.erase(best);
    return room;
  }

  std::mutex mutex_;
  std::vector<Room> idle_;
  bool keeps_ = true;
};

/*! \brief Those of this process; never destroyed, as calls may end after main. */
Rooms& AllRooms() {
  static auto* const rooms = new Rooms();  // NOLINT(cppcoreguidelines-owning-memory)
  return *rooms;
}

/*! \brief Lends a room to a tensor for as long as that lives; tvm-ffi copies it before. */
class Lent {
 public:
  explicit Lent(Room room) : room_(std::make_shared<Room>(std::move(room))) {}
  void AllocData(DLTensor* tensor) { tensor->data = room_->data.get(); }
  void FreeData(DLTensor* /*tensor*/) { AllRooms().Give(std::move(*room_)); }

 private:
  std::shared_ptr<Room> room_;
};

/*! \brief A part of a workspace, which lives at least as long. */
class Part {
 public:
  explicit Part(ffi::Tensor workspace) : workspace_(std::move(workspace)) {}
  void AllocData(DLTensor* tensor, int64_t offset) {
    tensor->data = static_cast<char*>(workspace_.data_ptr()) + offset;
  }
  void FreeData(DLTensor* /*tensor*/) {}

 private:
  ffi::Tensor workspace_;
};

ffi::Tensor Workspace(int64_t bytes) {
  if (bytes < 0) {
    TVM_FFI_THROW(ValueError) << "a workspace of " << bytes << " bytes";
  }
  return ffi::Tensor::FromNDAlloc(Lent(AllRooms().Take(static_cast<size_t>(bytes))),
                                  ffi::ShapeView({bytes}), {kDLUInt, 8, 1}, {kDLCPU, 0});
}

ffi::Tensor WorkspaceMap(const ffi::Tensor& workspace, int64_t offset, const ffi::Shape& shape,
                         DLDataType dtype) {
  const auto bytes = static_cast<int64_t>(ffi::GetDataSize(shape.Product(), dtype));
  const int64_t whole = workspace.numel();
  if (offset < 0 || bytes < 0 || bytes > whole || offset > whole - bytes) {
    TVM_FFI_THROW(ValueError) << bytes << " bytes at " << offset << " of a workspace of " << whole;
  }
  return ffi::Tensor::FromNDAlloc(Part(workspace), shape, dtype, {kDLCPU, 0}, offset);
}

}  // namespace

void KeepWorkspaces(bool keep) { AllRooms().Keep(keep); }

TVM_FFI_STATIC_INIT_BLOCK() {
  namespace refl = tvm::ffi::reflection;
  refl::GlobalDef()
      .def("lcp_tvm.Workspace", Workspace)
      .def("lcp_tvm.WorkspaceMap", WorkspaceMap)
      .def("lcp_tvm.KeepWorkspaces", KeepWorkspaces);
}

}  // namespace lcp_tvm
