// What nodes may say: a greeting, messages of each kind, regions of all dimensions.
#include <cstdint>
#include <vector>

#include "seeds.h"
#include "tests/stream.h"

namespace lcp_tvm::tests {
namespace {

using transport::Header;
using transport::Kind;

constexpr uint64_t kRun = 0x5EED;

/*! \brief A region of `ndim` dimensions, growing, of float32; `word` says what becomes of it. */
Bytes RegionOfDims(uint8_t ndim, uint32_t word) {
  Header header;
  header.kind = Kind::kRegion;
  header.run = kRun;
  header.word = word;
  header.box.ndim = ndim;
  for (uint32_t d = 0; d < ndim; ++d) {
    header.box.begin[d] = d;
    header.box.end[d] = d + 1 + d % 3;
  }
  Bytes stream;
  Append(header, Bytes(4 * header.box.Size(), ndim), &stream);
  return stream;
}

/*! \brief A message of a kind with what it carries. */
Bytes OfKind(Kind kind) {
  Header header;
  header.kind = kind;
  header.run = kRun;
  header.word = 3;
  Bytes payload;
  if (kind == Kind::kPong) {
    payload.resize(8);
  } else if (kind == Kind::kFailed || kind == Kind::kBegin) {
    payload = Words("words");
  } else if (transport::HasRegion(kind)) {
    payload.resize(4);
  }
  Bytes stream;
  Append(header, payload, &stream);
  return stream;
}

}  // namespace

std::vector<Bytes> Seeds() {
  std::vector<Bytes> seeds(1);
  Append(Hello(kRun, 1, 0), Words("1"), seeds.data());
  Bytes kinds;
  for (int kind = static_cast<int>(Kind::kPing); kind <= static_cast<int>(Kind::kPooled); ++kind) {
    const Bytes stream = OfKind(static_cast<Kind>(kind));
    kinds.insert(kinds.end(), stream.begin(), stream.end());
  }
  seeds.push_back(kinds);
  Bytes regions;
  for (uint8_t ndim = 0; ndim <= transport::kMaxDims; ++ndim) {
    seeds.push_back(RegionOfDims(ndim, 3));
    const Bytes stream = RegionOfDims(ndim, ndim % 2);
    regions.insert(regions.end(), stream.begin(), stream.end());
  }
  seeds.push_back(regions);
  return seeds;
}

}  // namespace lcp_tvm::tests
