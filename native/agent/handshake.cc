#include "handshake.h"

namespace lcp_tvm::agent {

namespace {

constexpr size_t kWord = 4;
constexpr std::string_view kClient = "client:";
constexpr std::string_view kServer = "server:";

}  // namespace

std::string LittleEndian(uint32_t value) {
  std::string bytes;
  for (int shift = 0; shift < 32; shift += 8) {
    bytes += static_cast<char>(value >> shift & 0xFF);
  }
  return bytes;
}

uint32_t ReadLittleEndian(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = kWord; i-- > 0;) {
    value = value << 8 | static_cast<uint8_t>(bytes[i]);
  }
  return value;
}

Greeting ReadGreeting(std::string_view bytes) {
  Greeting greeting;
  if (bytes.size() < 2 * kWord) {
    greeting.missing = 2 * kWord - bytes.size();
  }
  if (bytes.size() >= kWord && ReadLittleEndian(bytes) != kRpcMagic) {
    greeting = {0, "it does not speak TVM RPC", {}};
  }
  if (greeting.missing > 0 || !greeting.wrong.empty()) {
    return greeting;
  }
  const size_t size = ReadLittleEndian(bytes.substr(kWord));
  if (size > kMaxKey) {
    greeting.wrong = "its key is longer than 1024 bytes";
    return greeting;
  }
  std::string_view key = bytes.substr(2 * kWord);
  if (key.size() < size) {
    greeting.missing = size - key.size();
    return greeting;
  }
  key = key.substr(0, size);
  if (key.substr(0, kClient.size()) != kClient) {
    greeting.wrong = "it is no TVM RPC client";
    return greeting;
  }
  key.remove_prefix(kClient.size());
  greeting.key = key.substr(0, key.find_first_of(" \t\n\r"));
  return greeting;
}

std::string ReplyBytes(Reply reply, std::string_view name) {
  std::string bytes = LittleEndian(static_cast<uint32_t>(reply));
  if (reply == Reply::kWelcome) {
    bytes += LittleEndian(static_cast<uint32_t>(kServer.size() + name.size()));
    bytes.append(kServer).append(name);
  }
  return bytes;
}

}  // namespace lcp_tvm::agent
