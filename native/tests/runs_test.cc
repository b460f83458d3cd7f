// The runs of a box, joined, are the box's elements row by row, from any byte on.
#include "transport/runs.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "check.h"

namespace lcp_tvm::transport {
namespace {

using Bytes = std::vector<uint8_t>;

/*! \brief The part's bytes, element by element. */
Bytes ByElement(const Payload& payload) {
  Bytes bytes;
  const Box& part = payload.part;
  for (uint64_t i = 0; i < part.Size(); ++i) {
    uint64_t rest = i;
    uint64_t offset = 0;
    uint64_t stride = 1;
    for (size_t d = part.ndim; d-- > 0;) {
      const uint64_t extent = part.end[d] - part.begin[d];
      offset += (part.begin[d] + rest % extent - payload.array.begin[d]) * stride;
      rest /= extent;
      stride *= payload.array.end[d] - payload.array.begin[d];
    }
    const uint8_t* element = payload.data + offset * payload.item_bytes;
    bytes.insert(bytes.end(), element, element + payload.item_bytes);
  }
  return bytes;
}

Bytes Joined(const Payload& payload, uint64_t from, int* count) {
  Bytes bytes;
  *count = 0;
  Runs runs(payload, from);
  for (Run run; runs.Next(&run); ++*count) {
    CHECK(run.bytes > 0);
    bytes.insert(bytes.end(), run.data, run.data + run.bytes);
  }
  return bytes;
}

/*! \brief A random box in a random array, often whole in some dimensions. */
Payload Random(std::mt19937* random, Bytes* memory) {
  const auto draw = [&](uint32_t limit) { return (*random)() % limit; };
  Payload payload;
  payload.item_bytes = uint32_t{1} << draw(4);
  payload.array.ndim = payload.part.ndim = static_cast<uint8_t>(draw(6));
  for (size_t d = 0; d < payload.array.ndim; ++d) {
    const uint32_t extent = 1 + draw(5);
    payload.array.begin[d] = payload.part.begin[d] = draw(100);
    payload.array.end[d] = payload.part.end[d] = payload.array.begin[d] + extent;
    if (draw(2) == 0) {
      payload.part.begin[d] += draw(extent);
      payload.part.end[d] -= draw(payload.part.end[d] - payload.part.begin[d] + 1);
    }
  }
  memory->resize(payload.array.Size() * payload.item_bytes);
  for (uint8_t& byte : *memory) {
    byte = static_cast<uint8_t>(draw(256));
  }
  payload.data = memory->data();
  return payload;
}

void RandomBoxesEqualTheirElements() {
  std::mt19937 random(2);
  for (int round = 0; round < 3000; ++round) {
    Bytes memory;
    const Payload payload = Random(&random, &memory);
    CHECK(PartInside(payload));
    const Bytes expected = ByElement(payload);
    int count = 0;
    CHECK(Joined(payload, 0, &count) == expected);
    const uint64_t from = random() % (expected.size() + 2);
    const Bytes rest(expected.begin() + static_cast<ptrdiff_t>(std::min(from, expected.size())),
                     expected.end());
    CHECK(Joined(payload, from, &count) == rest);
  }
}

void FewRunsAreMade() {
  const Box array{4, {0, 0, 0, 0}, {2, 3, 4, 5}};
  const Bytes memory(array.Size());
  const struct {
    Box part;
    int runs;
  } cases[] = {
      {array, 1},                             // all of it
      {{4, {0, 1, 0, 0}, {2, 3, 4, 5}}, 2},   // channels: one run per image
      {{4, {1, 1, 0, 0}, {2, 2, 4, 5}}, 1},   // one channel of one image
      {{4, {0, 0, 1, 0}, {2, 3, 3, 5}}, 6},   // rows: one run per channel
      {{4, {0, 0, 1, 1}, {2, 3, 3, 4}}, 12},  // a window: one run per row
      {{4, {0, 0, 0, 2}, {2, 3, 4, 2}}, 0},   // nothing
  };
  for (const auto& each : cases) {
    Payload payload;
    payload.data = memory.data();
    payload.array = array;
    payload.part = each.part;
    int count = 0;
    CHECK_EQ(Joined(payload, 0, &count).size(), each.part.Size());
    CHECK_EQ(count, each.runs);
  }
}

void PartsOutsideAreSeen() {
  Payload payload;
  payload.array = {2, {2, 2}, {6, 6}};
  const Box outside[] = {
      {2, {1, 2}, {6, 6}}, {2, {2, 2}, {6, 7}}, {2, {5, 2}, {4, 6}}, {1, {2}, {6}}};
  for (const Box& part : outside) {
    payload.part = part;
    CHECK(!PartInside(payload));
  }
}

}  // namespace
}  // namespace lcp_tvm::transport

int main(int argc, char** argv) {
  using namespace lcp_tvm::transport;
  return lcp_tvm::tests::Main({{"random boxes equal their elements", RandomBoxesEqualTheirElements},
                               {"few runs are made", FewRunsAreMade},
                               {"parts outside are seen", PartsOutsideAreSeen}},
                              argc, argv);
}
