// Where TVM's runtime reads and writes what it serialises.
//
// The headers under board/tvm are named by sources of the runtime that TVM's wheel carries, but are
// not in it themselves. They have what those sources use, under TVM's names.
#ifndef LCP_TVM_BOARD_TVM_SUPPORT_IO_H_
#define LCP_TVM_BOARD_TVM_SUPPORT_IO_H_

#include <cstddef>

namespace tvm::support {

template <class T, class = void>
struct Serializer;

class Stream {
 public:
  virtual ~Stream() = default;
  /*! \brief Read up to `size` bytes; how many there were. */
  virtual size_t Read(void* data, size_t size) = 0;
  /*! \brief Write up to `size` bytes; how many were taken. */
  virtual size_t Write(const void* data, size_t size) = 0;

  /*! \brief Read a value; false where the bytes do not reach. */
  template <class T>
  bool Read(T* value) {
    return Serializer<T>::Read(this, value);
  }
  template <class T>
  void Write(const T& value) {
    Serializer<T>::Write(this, value);
  }
  /*! \brief Read values that lie one after the other, without their number. */
  template <class T>
  bool ReadArray(T* values, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      if (!Read(&values[i])) {
        return false;
      }
    }
    return true;
  }
  template <class T>
  void WriteArray(const T* values, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      Write(values[i]);
    }
  }
};

}  // namespace tvm::support
#endif  // LCP_TVM_BOARD_TVM_SUPPORT_IO_H_
