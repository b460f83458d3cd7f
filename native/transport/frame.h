// Messages between nodes: their header and its checks (docs/runtime.md, "Frames on the wire").
//
// Pure: bytes in, a header or a reason out. No sockets, no allocation that the bytes decide.
#ifndef LCP_TVM_TRANSPORT_FRAME_H_
#define LCP_TVM_TRANSPORT_FRAME_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace lcp_tvm::transport {

constexpr uint32_t kMagic = 0x4650434C;  // "LCPF"
constexpr uint8_t kVersion = 1;
constexpr size_t kHeaderBytes = 48;
constexpr size_t kMaxDims = 8;
constexpr size_t kMaxHeadBytes = kHeaderBytes + kMaxDims * 8;
constexpr uint32_t kFrameTask = 0xFFFFFFFF;
constexpr uint32_t kNobody = 0xFFFFFFFF;
/*! \brief Most bytes of a payload that is text. */
constexpr uint64_t kMaxText = 4096;
/*! \brief Most bytes of a region, and most elements; they fit a board's 32 bits. */
constexpr uint64_t kMaxPayload = uint64_t{1} << 31;
/*! \brief Most bytes of an element. */
constexpr uint64_t kMaxItemBytes = 16;

enum class Kind : uint8_t {
  kHello = 1,
  kWelcome,
  kRefused,
  kPing,
  kPong,
  kRegion,
  kInput,
  kBegin,
  kEnd,
  kFailed,
  kLink,
  kWork,
  kNoWork,
  kWho,
  kHint,
  kSteal,
  kTask,
  kNoTask,
  kFetch,
  kPooled,
};

/*! \brief The kind's name in docs/runtime.md. */
const char* Name(Kind kind);
/*! \brief Whether messages of this kind carry elements of a region. */
bool HasRegion(Kind kind);

/*! \brief A box: `ndim` half-open ranges. */
struct Box {
  uint8_t ndim = 0;
  std::array<uint32_t, kMaxDims> begin{};
  std::array<uint32_t, kMaxDims> end{};

  /*! \brief Elements; boxes that come from bytes are checked not to overflow. */
  uint64_t Size() const;
  bool operator==(const Box& other) const;
};

/*! \brief What stands before a payload. */
struct Header {
  Kind kind = Kind::kPing;
  uint64_t run = 0;
  uint64_t frame = 0;
  uint32_t route = 0;
  uint32_t task = 0;
  uint32_t tensor = 0;
  uint32_t word = 0;
  uint64_t payload = 0;
  Box box;
};

/*! \brief Write a header and its region, of at most kMaxDims; returns the bytes used. */
size_t Encode(const Header& header, std::array<uint8_t, kMaxHeadBytes>* out);

/*! \brief Bytes that follow the fixed part, from its checked beginning; or -1 and the reason. */
int RegionBytes(const uint8_t* fixed, std::string* why);

/*!
 * \brief Read a header with its region, all of `bytes`. False, with the reason, when it breaks a
 * rule: then `header` is not to be used. The payload of a region is its elements', of 1 to
 * kMaxItemBytes.
 */
bool Decode(const uint8_t* bytes, size_t size, Header* header, std::string* why);

}  // namespace lcp_tvm::transport
#endif  // LCP_TVM_TRANSPORT_FRAME_H_
