// Memory for what a packet of TVM RPC holds, given back all at once.
#ifndef LCP_TVM_BOARD_TVM_ARENA_H_
#define LCP_TVM_BOARD_TVM_ARENA_H_

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

namespace tvm::support {

class Arena {
 public:
  /*! \brief Room for `count` objects, which are not made. */
  template <class T>
  T* allocate_(int count) {
    static_assert(alignof(T) <= alignof(std::max_align_t));
    const size_t wanted = static_cast<size_t>(count) * sizeof(T);
    blocks_.push_back(std::make_unique<std::byte[]>(wanted));
    return reinterpret_cast<T*>(blocks_.back().get());
  }
  void RecycleAll() { blocks_.clear(); }

 private:
  std::vector<std::unique_ptr<std::byte[]>> blocks_;
};

}  // namespace tvm::support
#endif  // LCP_TVM_BOARD_TVM_ARENA_H_
