// Typed reads of a parsed JSON object; a missing key, wrong type or value out of range is reported
// through the callback with the key's full path, so that the caller chooses the error's tag.
//
// The text is bounded in length and nesting before it is parsed: the parser recurses.
#ifndef LCP_TVM_JSON_READER_H_
#define LCP_TVM_JSON_READER_H_

#include <tvm/ffi/container/array.h>
#include <tvm/ffi/container/map.h>
#include <tvm/ffi/extra/json.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lcp_tvm::vta {

class JsonReader {
 public:
  using Fail = void (*)(const std::string&);

  /*! \brief Parse `text` as an object; `what` names it in messages. */
  static JsonReader Parse(std::string_view text, const std::string& what, Fail fail);

  bool Has(const std::string& key) const;
  int64_t Int(const std::string& key, int64_t low, int64_t high) const;
  int64_t IntOr(const std::string& key, int64_t fallback, int64_t low, int64_t high) const;
  double Number(const std::string& key, double low, double high) const;
  std::string Text(const std::string& key) const;
  bool Flag(const std::string& key) const;
  bool IsNull(const std::string& key) const;
  tvm::ffi::json::Array List(const std::string& key) const;
  std::vector<int64_t> Ints(const std::string& key, int64_t low, int64_t high) const;
  JsonReader Sub(const std::string& key) const;
  /*! \brief The elements of an array of objects. */
  std::vector<JsonReader> Items(const std::string& key) const;
  /*! \brief The elements of an array of integer arrays. */
  std::vector<std::vector<int64_t>> IntRows(const std::string& key, int64_t low,
                                            int64_t high) const;
  std::vector<std::string> Keys() const;
  /*! \brief This object as compact JSON text. */
  std::string Dump() const;
  const std::string& what() const { return what_; }

 private:
  JsonReader(tvm::ffi::json::Object object, std::string what, Fail fail)
      : object_(std::move(object)), what_(std::move(what)), fail_(fail) {}
  [[noreturn]] void Bad(const std::string& message) const;
  tvm::ffi::Any Get(const std::string& key) const;
  int64_t CheckInt(const tvm::ffi::Any& value, const std::string& key, int64_t low,
                   int64_t high) const;

  tvm::ffi::json::Object object_;
  std::string what_;
  Fail fail_;
};

}  // namespace lcp_tvm::vta
#endif  // LCP_TVM_JSON_READER_H_
