// What a node says of a frame, at times that the test says.
#include "worker/stats.h"

#include <cstdint>
#include <string>

#include "check.h"

namespace lcp_tvm::worker {
namespace {

constexpr uint64_t kFrame = 7;

/*! \brief The numbers that follow `"frames": [[7, `. */
std::string FrameOf(Stats* stats) {
  MemoryBudget budget(0);
  const std::string text = stats->Take(&budget, 0);
  const std::string head = "\"frames\": [[7, ";
  const size_t begin = text.find(head);
  CHECK(begin != std::string::npos, text);
  return text.substr(begin + head.size());
}

transport::Header Region() {
  transport::Header header;
  header.kind = transport::Kind::kRegion;
  header.frame = kFrame;
  return header;
}

void AFrameBeginsWithItsFirstByte() {
  Stats stats(false);
  stats.Began(kFrame);  // now, long after what the test says came
  stats.Received(1, Region(), {1000, 4000, 50});
  stats.Received(2, Region(), {3000, 6000, 60});
  stats.Ended(kFrame);
  const std::string row = FrameOf(&stats);
  CHECK_EQ(row.substr(0, row.find(',')), std::string("1000"));
  CHECK(row.find(", 0, 5000, 0, 110, 0, 0, 0]") != std::string::npos, row);
}

}  // namespace
}  // namespace lcp_tvm::worker

int main(int argc, char** argv) {
  using namespace lcp_tvm::worker;
  return lcp_tvm::tests::Main(
      {{"a frame begins with its first byte", AFrameBeginsWithItsFirstByte}}, argc, argv);
}
