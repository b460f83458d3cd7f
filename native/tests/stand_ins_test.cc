// The headers that stand for those which TVM's wheel lacks: bytes keep their order, whatever pieces
// they come in, and what is cut off is refused.
#include <tvm/ffi/error.h>
#include <tvm/ffi/string.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "board/tvm/support/arena.h"
#include "board/tvm/support/bytes_io.h"
#include "board/tvm/support/ring_buffer.h"
#include "board/tvm/support/utils.h"
#include "check.h"
#include "tvm/support/serializer.h"

namespace tvm::support {
namespace {

std::string Random(std::mt19937* random, size_t size) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) {
    byte = static_cast<char>((*random)());
  }
  return bytes;
}

void ABufferIsAQueueOfBytes() {
  std::mt19937 random(1);
  RingBuffer buffer;
  std::string expected;
  for (int step = 0; step < 20'000; ++step) {
    const size_t size = random() % (step % 1000 == 0 ? 200'000 : 300);
    switch (random() % 4) {
      case 0: {
        const std::string bytes = Random(&random, size);
        buffer.Write(bytes.data(), bytes.size());
        expected += bytes;
        break;
      }
      case 1: {
        const std::string bytes = Random(&random, size);
        const size_t part = bytes.size() / 2;
        const auto receive = [&](void* data, size_t most) {
          CHECK_EQ(most, bytes.size());
          std::memcpy(data, bytes.data(), part);
          return part;
        };
        CHECK_EQ(buffer.WriteWithCallback(receive, bytes.size()), part);
        expected += bytes.substr(0, part);
        break;
      }
      case 2: {
        std::string bytes(std::min(size, expected.size()), '\0');
        buffer.Read(bytes.data(), bytes.size());
        CHECK(bytes == expected.substr(0, bytes.size()));
        expected.erase(0, bytes.size());
        break;
      }
      default: {
        std::string bytes;
        const auto send = [&](const void* data, size_t most) {
          bytes.assign(static_cast<const char*>(data), most - most / 3);
          return bytes.size();
        };
        const size_t sent = buffer.ReadWithCallback(send, size);
        CHECK(bytes == expected.substr(0, sent));
        expected.erase(0, sent);
      }
    }
    CHECK_EQ(buffer.bytes_available(), expected.size());
  }
}

void ABufferRefusesToGiveMoreThanItHas() {
  RingBuffer buffer;
  buffer.Reserve(100);
  buffer.Write("abc", 3);
  char bytes[4];
  bool refused = false;
  try {
    buffer.Read(bytes, sizeof(bytes));
  } catch (const ffi::Error& error) {
    refused = error.message().find("shorter than it says") != std::string::npos;
  }
  CHECK(refused);
  CHECK_EQ(buffer.bytes_available(), size_t{3});
}

/*! \brief One value of each kind. */
struct Values {
  uint8_t byte = 200;
  int64_t number = -5;
  DLDataType dtype{kDLFloat, 32, 1};
  std::string text = "net";
  ffi::String name = "board";
  std::vector<int64_t> shape = {1, -2, 3};
  std::vector<std::string> names = {"", "x"};

  void Write(Stream* stream) const {
    stream->Write(byte);
    stream->Write(number);
    stream->Write(dtype);
    stream->Write(text);
    stream->Write(name);
    stream->Write(shape);
    stream->Write(names);
  }
  bool Read(Stream* stream) {
    return stream->Read(&byte) && stream->Read(&number) && stream->Read(&dtype) &&
           stream->Read(&text) && stream->Read(&name) && stream->Read(&shape) &&
           stream->Read(&names);
  }
};

std::string Written(const Values& values) {
  std::string bytes;
  BytesOutStream out(&bytes);
  values.Write(&out);
  return bytes;
}

void NumbersLieAsInMemoryAndListsAfterTheirLength() {
  std::string bytes;
  BytesOutStream out(&bytes);
  out.Write(uint16_t{0x0102});
  out.Write(std::string("ab"));
  out.Write(std::vector<uint32_t>{7});
  const std::string expected(
      "\x02\x01"
      "\x02\0\0\0\0\0\0\0"
      "ab"
      "\x01\0\0\0\0\0\0\0"
      "\x07\0\0\0",
      24);
  CHECK(bytes == expected);
}

void WhatIsWrittenIsReadAgain() {
  const std::string bytes = Written(Values{});
  Values empty{0, 0, {}, "", "", {}, {}};
  BytesInStream in(bytes);
  CHECK(empty.Read(&in));
  CHECK(Written(empty) == bytes);
}

void WhatIsCutOffIsRefused() {
  const std::string bytes = Written(Values{});
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::string cut = bytes.substr(0, size);
    BytesInStream in(cut);
    CHECK(!Values{}.Read(&in), std::to_string(size));
  }
}

void ALengthThatLiesTakesNoMemory() {
  const std::string bytes = std::string(8, '\xFF') + "abc";
  BytesInStream in(bytes);
  std::string text;
  CHECK(!in.Read(&text));
  CHECK_EQ(text, std::string("abc"));
}

void MemoryOfAPacketIsAligned() {
  Arena arena;
  for (int count = 0; count < 100; ++count) {
    arena.allocate_<char>(count);
    auto* numbers = arena.allocate_<int64_t>(count);
    CHECK_EQ(reinterpret_cast<uintptr_t>(numbers) % alignof(int64_t), uintptr_t{0});
    std::fill_n(numbers, count, -1);
  }
  arena.RecycleAll();
}

void QuestionsAboutTexts() {
  CHECK(StartsWith("RPCSessionTimeoutError: late", "RPCSessionTimeoutError: "));
  CHECK(!StartsWith("RPC", "RPCSession"));
  CHECK(IsNumber("042") && !IsNumber("") && !IsNumber("4a"));
}

}  // namespace
}  // namespace tvm::support

int main(int argc, char** argv) {
  using namespace tvm::support;
  return lcp_tvm::tests::Main(
      {{"a buffer is a queue of bytes", ABufferIsAQueueOfBytes},
       {"a buffer refuses to give more than it has", ABufferRefusesToGiveMoreThanItHas},
       {"numbers lie as in memory and lists after their length",
        NumbersLieAsInMemoryAndListsAfterTheirLength},
       {"what is written is read again", WhatIsWrittenIsReadAgain},
       {"what is cut off is refused", WhatIsCutOffIsRefused},
       {"a length that lies takes no memory", ALengthThatLiesTakesNoMemory},
       {"memory of a packet is aligned", MemoryOfAPacketIsAligned},
       {"questions about texts", QuestionsAboutTexts}},
      argc, argv);
}
