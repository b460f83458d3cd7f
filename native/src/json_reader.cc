#include "json_reader.h"

#include <tvm/ffi/error.h>
#include <tvm/ffi/string.h>

#include <algorithm>

namespace lcp_tvm::vta {

namespace ffi = tvm::ffi;

namespace {

constexpr size_t kMaxText = size_t{64} << 20;
constexpr int kMaxNesting = 16;

/*! \brief Deepest nesting of brackets outside strings. */
int Nesting(std::string_view text) {
  int depth = 0, deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}

/*! \brief Whether Python can decode it: UTF-8 without overlong forms and surrogates. */
bool IsUtf8(std::string_view text) {
  size_t i = 0;
  const auto byte = [&](size_t at) {
    return at < text.size() ? static_cast<uint8_t>(text[at]) : uint8_t{0};
  };
  while (i < text.size()) {
    const uint8_t lead = byte(i);
    const int more = lead < 0x80 ? 0 : lead < 0xC2 ? -1 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    if (more < 0 || lead > 0xF4) {
      return false;
    }
    const uint8_t next = byte(i + 1);
    const uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (more > 0 && (next < low || next > high)) {
      return false;
    }
    for (int k = 2; k <= more; ++k) {
      if ((byte(i + k) & 0xC0) != 0x80) {
        return false;
      }
    }
    i += 1 + more;
  }
  return true;
}

}  // namespace

JsonReader JsonReader::Parse(std::string_view text, const std::string& what, Fail fail) {
  std::string problem;
  if (text.size() > kMaxText) {
    problem = "is longer than 64 MiB";
  } else if (Nesting(text) > kMaxNesting) {
    problem = "is nested deeper than " + std::to_string(kMaxNesting) + " levels";
  } else if (text.find('\0') != std::string_view::npos) {
    problem = "has a zero byte";
  } else if (!IsUtf8(text)) {
    problem = "is not UTF-8 text";
  } else {
    ffi::String message;
    ffi::json::Value value = ffi::json::Parse(ffi::String(std::string(text)), &message);
    if (!message.empty()) {
      problem = "is not JSON: " + std::string(message);
    } else if (auto object = value.try_cast<ffi::json::Object>()) {
      return JsonReader(*object, what, fail);
    } else {
      problem = "is not a JSON object";
    }
  }
  fail(what + " " + problem);
  TVM_FFI_UNREACHABLE();
}

void JsonReader::Bad(const std::string& message) const {
  fail_(what_ + ": " + message);
  TVM_FFI_UNREACHABLE();
}

bool JsonReader::Has(const std::string& key) const { return object_.count(ffi::String(key)) != 0; }

ffi::Any JsonReader::Get(const std::string& key) const {
  if (!Has(key)) {
    Bad("key '" + key + "' is missing");
  }
  return object_.at(ffi::String(key));
}

int64_t JsonReader::CheckInt(const ffi::Any& value, const std::string& key, int64_t low,
                             int64_t high) const {
  if (value.type_index() != ffi::TypeIndex::kTVMFFIInt) {
    Bad("key '" + key + "' must be an integer");
  }
  const int64_t number = value.cast<int64_t>();
  if (number < low || number > high) {
    Bad("key '" + key + "' is " + std::to_string(number) + ", allowed are " + std::to_string(low) +
        " to " + std::to_string(high));
  }
  return number;
}

int64_t JsonReader::Int(const std::string& key, int64_t low, int64_t high) const {
  return CheckInt(Get(key), key, low, high);
}

int64_t JsonReader::IntOr(const std::string& key, int64_t fallback, int64_t low,
                          int64_t high) const {
  return Has(key) ? Int(key, low, high) : fallback;
}

double JsonReader::Number(const std::string& key, double low, double high) const {
  const ffi::Any value = Get(key);
  if (value.type_index() != ffi::TypeIndex::kTVMFFIInt &&
      value.type_index() != ffi::TypeIndex::kTVMFFIFloat) {
    Bad("key '" + key + "' must be a number");
  }
  const double number = value.cast<double>();
  if (!(number >= low && number <= high)) {
    Bad("key '" + key + "' is " + std::to_string(number) + ", allowed are " + std::to_string(low) +
        " to " + std::to_string(high));
  }
  return number;
}

std::string JsonReader::Text(const std::string& key) const {
  const ffi::Any value = Get(key);
  if (auto text = value.try_cast<ffi::String>()) {
    const std::string result(*text);
    if (!IsUtf8(result)) {
      Bad("key '" + key + "' is not UTF-8 text");
    }
    return result;
  }
  Bad("key '" + key + "' must be a string");
}

bool JsonReader::Flag(const std::string& key) const {
  const ffi::Any value = Get(key);
  if (value.type_index() != ffi::TypeIndex::kTVMFFIBool) {
    Bad("key '" + key + "' must be true or false");
  }
  return value.cast<bool>();
}

bool JsonReader::IsNull(const std::string& key) const { return Get(key) == nullptr; }

ffi::json::Array JsonReader::List(const std::string& key) const {
  const ffi::Any value = Get(key);
  if (auto list = value.try_cast<ffi::json::Array>()) {
    return *list;
  }
  Bad("key '" + key + "' must be an array");
}

std::vector<int64_t> JsonReader::Ints(const std::string& key, int64_t low, int64_t high) const {
  std::vector<int64_t> out;
  for (const ffi::Any& value : List(key)) {
    out.push_back(CheckInt(value, key, low, high));
  }
  return out;
}

std::vector<std::vector<int64_t>> JsonReader::IntRows(const std::string& key, int64_t low,
                                                      int64_t high) const {
  std::vector<std::vector<int64_t>> out;
  for (const ffi::Any& row : List(key)) {
    auto list = row.try_cast<ffi::json::Array>();
    if (!list) {
      Bad("key '" + key + "' must be an array of arrays");
    }
    std::vector<int64_t>& numbers = out.emplace_back();
    for (const ffi::Any& value : *list) {
      numbers.push_back(CheckInt(value, key, low, high));
    }
  }
  return out;
}

JsonReader JsonReader::Sub(const std::string& key) const {
  const ffi::Any value = Get(key);
  if (auto object = value.try_cast<ffi::json::Object>()) {
    return JsonReader(*object, what_ + "." + key, fail_);
  }
  Bad("key '" + key + "' must be an object");
}

std::vector<JsonReader> JsonReader::Items(const std::string& key) const {
  std::vector<JsonReader> out;
  for (const ffi::Any& value : List(key)) {
    auto object = value.try_cast<ffi::json::Object>();
    if (!object) {
      Bad("key '" + key + "' must be an array of objects");
    }
    out.push_back(
        JsonReader(*object, what_ + "." + key + "[" + std::to_string(out.size()) + "]", fail_));
  }
  return out;
}

std::vector<std::string> JsonReader::Keys() const {
  std::vector<std::string> out;
  for (const auto& [key, value] : object_) {
    if (auto text = key.try_cast<ffi::String>()) {
      out.emplace_back(std::string(*text));
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string JsonReader::Dump() const { return std::string(ffi::json::Stringify(object_)); }

}  // namespace lcp_tvm::vta
