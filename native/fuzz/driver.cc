// Runs a fuzz target without libFuzzer: mutates valid streams at random.
//
//     receive_fuzz SECONDS [SEED]     mutate; prints how many inputs ran
//     receive_fuzz --seeds FOLDER     write the valid streams, for libFuzzer to begin with
//     receive_fuzz FILE...            run these inputs once
//
// The input being run lies in the file last_input, should the program end there.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "tests/stream.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace lcp_tvm::tests {
namespace {

using transport::Header;
using transport::Kind;
using Bytes = std::vector<uint8_t>;

constexpr uint64_t kRun = 0x5EED;
constexpr size_t kMaxInput = 8192;

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

/*! \brief Streams that break no rule: a greeting, each kind, regions of all dimensions. */
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

/*! \brief Changes streams a little, or much. */
class Mutator {
 public:
  explicit Mutator(uint64_t seed) : seeds_(Seeds()), random_(seed) {}

  Bytes Next() {
    Bytes bytes = Pick();
    for (size_t changes = 1 + Below(6); changes > 0; --changes) {
      Change(&bytes);
    }
    bytes.resize(std::min(bytes.size(), kMaxInput));
    return bytes;
  }

 private:
  size_t Below(size_t limit) { return random_() % limit; }
  const Bytes& Pick() { return seeds_[Below(seeds_.size())]; }
  static ptrdiff_t Signed(size_t at) { return static_cast<ptrdiff_t>(at); }

  void Change(Bytes* bytes) {
    if (bytes->empty()) {
      *bytes = Pick();
    }
    const size_t at = Below(bytes->size());
    const size_t count = std::min(bytes->size() - at, 1 + Below(64));
    const auto begin = bytes->begin() + Signed(at);
    switch (Below(6)) {
      case 0:
        *begin ^= static_cast<uint8_t>(1U << Below(8));
        break;
      case 1:
        *begin = static_cast<uint8_t>(random_());
        break;
      case 2:
        Overwrite(bytes, at);
        break;
      case 3:
        bytes->erase(begin, begin + Signed(count));
        break;
      case 4: {
        const Bytes again(begin, begin + Signed(count));
        bytes->insert(begin, again.begin(), again.end());
        break;
      }
      default: {
        const Bytes& other = Pick();
        bytes->insert(begin, other.begin(), other.end());
      }
    }
  }

  /*! \brief A word on the edge of some range, where words lie. */
  void Overwrite(Bytes* bytes, size_t at) {
    static constexpr uint64_t kEdges[] = {
        0,          1,          2,          3,          7,          8,     9,
        16,         255,        4096,       4097,       65535,      65536, 65537,
        0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1ULL << 32, 1ULL << 63, ~0ULL};
    const uint64_t value = kEdges[Below(std::size(kEdges))];
    at -= at % 4;
    const size_t size = Below(2) == 0 ? 4 : 8;
    for (size_t i = 0; i < size && at + i < bytes->size(); ++i) {
      (*bytes)[at + i] = static_cast<uint8_t>(value >> (8 * i));
    }
  }

  std::vector<Bytes> seeds_;
  std::mt19937_64 random_;
};

/*! \brief Keeps the current input in a file, whatever becomes of this process. */
class LastInput {
 public:
  LastInput() : fd_(open("last_input", O_WRONLY | O_CREAT, 0644)) {
    if (fd_ < 0) {
      std::perror("last_input");
      std::exit(EXIT_FAILURE);
    }
  }
  void Keep(const Bytes& input) const {
    const auto size = static_cast<ssize_t>(input.size());
    if (pwrite(fd_, input.data(), input.size(), 0) != size || ftruncate(fd_, size) != 0) {
      std::perror("last_input");
      std::exit(EXIT_FAILURE);
    }
  }

 private:
  int fd_;
};

void Fuzz(double seconds, uint64_t seed) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  const LastInput last;
  Mutator mutator(seed);
  uint64_t runs = 0;
  while (Clock::now() < end) {
    const Bytes input = mutator.Next();
    last.Keep(input);
    LLVMFuzzerTestOneInput(input.data(), input.size());
    ++runs;
  }
  std::printf("%llu inputs in %.0f s, seed %llu: no findings\n",
              static_cast<unsigned long long>(runs), seconds,
              static_cast<unsigned long long>(seed));
}

void WriteSeeds(const std::string& folder) {
  int number = 0;
  for (const Bytes& seed : Seeds()) {
    std::ofstream file(folder + "/seed" + std::to_string(number++), std::ios::binary);
    file.write(reinterpret_cast<const char*>(seed.data()),
               static_cast<std::streamsize>(seed.size()));
  }
}

void RunFile(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const Bytes input((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: receive_fuzz SECONDS [SEED] | --seeds FOLDER | FILE...\n");
    return EXIT_FAILURE;
  }
  const std::string first = argv[1];
  char* rest = nullptr;
  const double seconds = std::strtod(argv[1], &rest);
  if (first == "--seeds" && argc == 3) {
    WriteSeeds(argv[2]);
  } else if (*rest == '\0') {
    Fuzz(seconds, argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
  } else {
    std::for_each(argv + 1, argv + argc, RunFile);
  }
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace lcp_tvm::tests

int main(int argc, char** argv) { return lcp_tvm::tests::Main(argc, argv); }
