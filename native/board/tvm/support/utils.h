// Questions about texts.
#ifndef LCP_TVM_BOARD_TVM_UTILS_H_
#define LCP_TVM_BOARD_TVM_UTILS_H_

#include <tvm/ffi/string.h>

#include <string_view>

namespace tvm::support {

inline bool StartsWith(const ffi::String& text, std::string_view prefix) {
  return std::string_view(text.data(), text.size()).substr(0, prefix.size()) == prefix;
}

/*! \brief Whether a text is digits and nothing else. */
inline bool IsNumber(const ffi::String& text) {
  const std::string_view view(text.data(), text.size());
  return !view.empty() && view.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace tvm::support
#endif  // LCP_TVM_BOARD_TVM_UTILS_H_
