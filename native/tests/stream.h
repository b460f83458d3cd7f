// Bytes of messages as they go over the wire, for tests that play a peer themselves.
#ifndef LCP_TVM_TESTS_STREAM_H_
#define LCP_TVM_TESTS_STREAM_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "transport/frame.h"

namespace lcp_tvm::tests {

/*! \brief A message with a payload of any bytes. */
inline void Append(transport::Header header, const std::vector<uint8_t>& payload,
                   std::vector<uint8_t>* stream) {
  header.payload = payload.size();
  std::array<uint8_t, transport::kMaxHeadBytes> head;
  const size_t size = transport::Encode(header, &head);
  stream->insert(stream->end(), head.begin(), head.begin() + static_cast<ptrdiff_t>(size));
  stream->insert(stream->end(), payload.begin(), payload.end());
}

inline std::vector<uint8_t> Words(const std::string& text) { return {text.begin(), text.end()}; }

/*! \brief A message of a region of bytes. */
inline transport::Header RegionOf(uint64_t run, uint64_t frame, uint32_t size) {
  transport::Header header;
  header.kind = transport::Kind::kRegion;
  header.run = run;
  header.frame = frame;
  header.box = {1, {0}, {size}};
  return header;
}

inline transport::Header Hello(uint64_t run, uint32_t from, uint32_t to) {
  transport::Header header;
  header.kind = transport::Kind::kHello;
  header.run = run;
  header.task = from;
  header.word = to;
  return header;
}

}  // namespace lcp_tvm::tests
#endif  // LCP_TVM_TESTS_STREAM_H_
