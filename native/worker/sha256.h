// SHA-256 (FIPS 180-4), a piece at a time.
#ifndef LCP_TVM_WORKER_SHA256_H_
#define LCP_TVM_WORKER_SHA256_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace lcp_tvm::worker {

class Sha256 {
 public:
  void Update(const void* data, size_t size);
  /*! \brief The hash as 64 lower-case hex digits; nothing may follow. */
  std::string Finish();

 private:
  static constexpr size_t kBlock = 64;
  void Compress(const uint8_t* block);

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, kBlock> rest_{};
  uint64_t size_ = 0;
};

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_SHA256_H_
