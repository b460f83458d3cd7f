// A file descriptor that closes itself.
#ifndef LCP_TVM_AGENT_DESCRIPTOR_H_
#define LCP_TVM_AGENT_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace lcp_tvm::agent {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    other.Close();
    return *this;
  }
  ~Descriptor() { Close(); }

  int get() const { return number_; }
  bool is_open() const { return number_ >= 0; }
  void Close() {
    if (is_open()) {
      close(std::exchange(number_, -1));
    }
  }

 private:
  int number_ = -1;
};

}  // namespace lcp_tvm::agent
#endif  // LCP_TVM_AGENT_DESCRIPTOR_H_
