// Values inside arrays of JSON, where `JsonReader` reads objects.
#ifndef LCP_TVM_WORKER_JSON_VALUES_H_
#define LCP_TVM_WORKER_JSON_VALUES_H_

#include <cstdint>
#include <string>

#include "fail_node.h"
#include "src/json_reader.h"

namespace lcp_tvm::worker {

using tvm::ffi::json::Array;

inline int64_t IntOf(const tvm::ffi::Any& value, int64_t low, int64_t high,
                     const std::string& what) {
  const bool is_int = value.type_index() == tvm::ffi::TypeIndex::kTVMFFIInt;
  const int64_t number = is_int ? value.cast<int64_t>() : 0;
  if (!is_int || number < low || number > high) {
    FailNode(what + (is_int ? " is " + std::to_string(number) : std::string(" is no integer")) +
             "; allowed are " + std::to_string(low) + " to " + std::to_string(high));
  }
  return number;
}

inline Array ArrayOf(const tvm::ffi::Any& value, const std::string& what) {
  if (auto array = value.try_cast<Array>()) {
    return *array;
  }
  FailNode(what + " is no array");
}

/*! \brief An array of so many values. */
inline Array ArrayOf(const tvm::ffi::Any& value, size_t size, const std::string& what) {
  Array array = ArrayOf(value, what);
  if (array.size() != size) {
    FailNode(what + " has " + std::to_string(array.size()) + " values, not " +
             std::to_string(size));
  }
  return array;
}

inline std::string TextOf(const tvm::ffi::Any& value, const std::string& what) {
  if (auto text = value.try_cast<tvm::ffi::String>()) {
    return std::string(*text);
  }
  FailNode(what + " is no text");
}

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_JSON_VALUES_H_
