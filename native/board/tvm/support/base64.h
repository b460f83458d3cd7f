// Tensors as JSON text, which a compiler writes and a board has no use for: it refuses them.
#ifndef LCP_TVM_BOARD_TVM_BASE64_H_
#define LCP_TVM_BOARD_TVM_BASE64_H_

#include <tvm/ffi/error.h>
#include <tvm/support/serializer.h>

namespace tvm::support {

class NoBase64Stream : public Stream {
 public:
  explicit NoBase64Stream(Stream* /*stream*/) {}

  using Stream::Read;
  using Stream::Write;
  size_t Read(void* /*data*/, size_t /*size*/) final { Refuse(); }
  size_t Write(const void* /*data*/, size_t /*size*/) final { Refuse(); }
  void InitPosition() {}
  void Finish() {}

 private:
  [[noreturn]] static void Refuse() {
    TVM_FFI_THROW(RuntimeError) << "tensors as JSON text: a board's runtime has none";
    TVM_FFI_UNREACHABLE();
  }
};

using Base64InStream = NoBase64Stream;
using Base64OutStream = NoBase64Stream;

}  // namespace tvm::support
#endif  // LCP_TVM_BOARD_TVM_BASE64_H_
