// A queue of bytes between a connection and who reads or writes its packets.
#ifndef LCP_TVM_BOARD_TVM_RING_BUFFER_H_
#define LCP_TVM_BOARD_TVM_RING_BUFFER_H_

#include <tvm/ffi/error.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

namespace tvm::support {

class RingBuffer {
 public:
  size_t bytes_available() const { return end_ - begin_; }

  /*! \brief Have room for so many bytes in all. */
  void Reserve(size_t size) {
    if (size > bytes_available()) {
      MakeRoom(size - bytes_available());
    }
  }

  /*! \brief Take bytes, which must be there. */
  void Read(void* data, size_t size) {
    TVM_FFI_ICHECK_LE(size, bytes_available()) << "a packet is shorter than it says";
    if (size > 0) {
      std::memcpy(data, bytes_.data() + begin_, size);
    }
    Drop(size);
  }

  void Write(const void* data, size_t size) {
    MakeRoom(size);
    if (size > 0) {
      std::memcpy(bytes_.data() + end_, data, size);
    }
    end_ += size;
  }

  /*! \brief Give up to `most` bytes to `send`, which says how many it took; that many. */
  template <class Send>
  size_t ReadWithCallback(Send send, size_t most) {
    const size_t sent = send(bytes_.data() + begin_, std::min(most, bytes_available()));
    Drop(sent);
    return sent;
  }

  /*! \brief Have `receive` bring up to `most` bytes, and say how many; that many. */
  template <class Receive>
  size_t WriteWithCallback(Receive receive, size_t most) {
    MakeRoom(most);
    const size_t received = receive(bytes_.data() + end_, most);
    end_ += received;
    return received;
  }

 private:
  /*! \brief A large packet's memory goes back when it has been read. */
  static constexpr size_t kKept = 1 << 16;

  void MakeRoom(size_t size) {
    if (bytes_.size() - end_ >= size) {
      return;
    }
    if (begin_ > 0 && begin_ < end_) {
      std::memmove(bytes_.data(), bytes_.data() + begin_, end_ - begin_);
    }
    end_ -= begin_;
    begin_ = 0;
    if (bytes_.size() - end_ < size) {
      bytes_.resize(end_ + size);
    }
  }

  void Drop(size_t size) {
    begin_ += size;
    if (begin_ < end_) {
      return;
    }
    begin_ = end_ = 0;
    if (bytes_.size() > kKept) {
      bytes_.resize(kKept);
      bytes_.shrink_to_fit();
    }
  }

  std::vector<char> bytes_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace tvm::support
#endif  // LCP_TVM_BOARD_TVM_RING_BUFFER_H_
