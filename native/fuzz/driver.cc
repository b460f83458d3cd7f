// Runs a fuzz target without libFuzzer: mutates valid streams at random.
//
//     TARGET SECONDS [SEED]     mutate; prints how many inputs ran
//     TARGET --seeds FOLDER     write the valid streams, for libFuzzer to begin with
//     TARGET FILE...            run these inputs once
//
// The input being run lies in the file TARGET.input, should the program end there.
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

#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace lcp_tvm::tests {
namespace {

constexpr size_t kMaxInput = 8192;

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
  explicit LastInput(const std::string& path) : fd_(open(path.c_str(), O_WRONLY | O_CREAT, 0644)) {
    if (fd_ < 0) {
      std::perror(path.c_str());
      std::exit(EXIT_FAILURE);
    }
  }
  void Keep(const Bytes& input) const {
    const auto size = static_cast<ssize_t>(input.size());
    if (pwrite(fd_, input.data(), input.size(), 0) != size || ftruncate(fd_, size) != 0) {
      std::perror("the input cannot be kept");
      std::exit(EXIT_FAILURE);
    }
  }

 private:
  int fd_;
};

void Fuzz(const std::string& program, double seconds, uint64_t seed) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  const LastInput last(program + ".input");
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
    std::fprintf(stderr, "usage: TARGET SECONDS [SEED] | --seeds FOLDER | FILE...\n");
    return EXIT_FAILURE;
  }
  const std::string first = argv[1];
  char* rest = nullptr;
  const double seconds = std::strtod(argv[1], &rest);
  if (first == "--seeds" && argc == 3) {
    WriteSeeds(argv[2]);
  } else if (*rest == '\0') {
    Fuzz(argv[0], seconds, argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
  } else {
    std::for_each(argv + 1, argv + argc, RunFile);
  }
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace lcp_tvm::tests

int main(int argc, char** argv) { return lcp_tvm::tests::Main(argc, argv); }
