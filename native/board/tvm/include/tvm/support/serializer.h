// The bytes of values: numbers and plain structs as they lie in memory, little endian; before the
// elements of texts and lists their number (u64).
#ifndef LCP_TVM_BOARD_TVM_SUPPORT_SERIALIZER_H_
#define LCP_TVM_BOARD_TVM_SUPPORT_SERIALIZER_H_

#include <dlpack/dlpack.h>
#include <tvm/ffi/container/array.h>
#include <tvm/ffi/string.h>
#include <tvm/support/io.h>

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

namespace tvm::support {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

template <class T>
constexpr bool kAsInMemory = std::is_arithmetic_v<T> || std::is_enum_v<T> ||
                             std::is_same_v<T, DLDevice> || std::is_same_v<T, DLDataType>;

template <class T>
struct Serializer<T, std::enable_if_t<kAsInMemory<T>>> {
  static constexpr bool enabled = true;

  static void Write(Stream* stream, const T& value) {
    stream->Write(static_cast<const void*>(&value), sizeof(T));
  }
  static bool Read(Stream* stream, T* value) {
    return stream->Read(static_cast<void*>(value), sizeof(T)) == sizeof(T);
  }
};

/*! \brief Lists, read element by element: a wrong number ends with the bytes, not the memory. */
template <class List, class Element>
struct ListSerializer {
  static constexpr bool enabled = true;

  static void Write(Stream* stream, const List& list) {
    stream->Write(static_cast<uint64_t>(list.size()));
    for (const Element& element : list) {
      stream->Write(element);
    }
  }
  static bool Read(Stream* stream, List* list) {
    uint64_t count = 0;
    if (!stream->Read(&count)) {
      return false;
    }
    list->clear();
    for (uint64_t i = 0; i < count; ++i) {
      Element element;
      if (!stream->Read(&element)) {
        return false;
      }
      list->push_back(std::move(element));
    }
    return true;
  }
};

template <class T>
struct Serializer<std::vector<T>> : ListSerializer<std::vector<T>, T> {};
template <class T>
struct Serializer<ffi::Array<T>> : ListSerializer<ffi::Array<T>, T> {};
template <>
struct Serializer<std::string> : ListSerializer<std::string, char> {};

template <>
struct Serializer<ffi::String> {
  static constexpr bool enabled = true;

  static void Write(Stream* stream, const ffi::String& text) { stream->Write(std::string(text)); }
  static bool Read(Stream* stream, ffi::String* text) {
    std::string bytes;
    if (!stream->Read(&bytes)) {
      return false;
    }
    *text = std::move(bytes);
    return true;
  }
};

}  // namespace tvm::support
#endif  // LCP_TVM_BOARD_TVM_SUPPORT_SERIALIZER_H_
