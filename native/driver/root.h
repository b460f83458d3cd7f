// Where a board's files are: below a folder, so that an emulated board can have its own.
#ifndef LCP_TVM_DRIVER_ROOT_H_
#define LCP_TVM_DRIVER_ROOT_H_

#include <unistd.h>

#include <fstream>
#include <optional>
#include <string>
#include <utility>

namespace lcp_tvm::driver {

class Root {
 public:
  /*! \brief Empty on a real board. */
  explicit Root(std::string prefix = "") : prefix_(std::move(prefix)) {}

  std::string At(const std::string& path) const { return prefix_ + path; }

  bool Has(const std::string& path) const { return access(At(path).c_str(), F_OK) == 0; }

  /*! \brief The first word of a file such as those in /sys; nothing when there is none. */
  std::optional<std::string> Word(const std::string& path) const {
    std::ifstream file(At(path));
    std::string word;
    return file >> word ? std::optional(word) : std::nullopt;
  }

  /*! \brief Write a file in /sys; whether that went well. */
  bool Put(const std::string& path, const std::string& text) const {
    std::ofstream file(At(path));
    file << text;
    return static_cast<bool>(file.flush());
  }

 private:
  std::string prefix_;
};

}  // namespace lcp_tvm::driver
#endif  // LCP_TVM_DRIVER_ROOT_H_
