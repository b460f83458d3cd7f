#include "program_file.h"

#include <algorithm>
#include <set>

#include "fail.h"
#include "json_reader.h"

namespace lcp_tvm::vta {

namespace {

constexpr std::string_view kMagic = "LCPVTA01";
constexpr size_t kPrefix = 16;  // magic and length
constexpr int64_t kVersion = 2;
constexpr int64_t kMaxDim = 1 << 20;

uint64_t LittleEndian64(std::string_view bytes) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i) {
    value = value << 8 | static_cast<uint8_t>(bytes[i]);
  }
  return value;
}

std::string_view ReadHeader(std::string_view bytes) {
  if (bytes.size() < kPrefix) {
    FailProgram("VTA program: " + std::to_string(bytes.size()) +
                " bytes are too few; the file is truncated or is none");
  }
  const std::string_view magic = bytes.substr(0, kMagic.size());
  if (magic != kMagic) {
    const bool digits =
        std::all_of(magic.begin() + 6, magic.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (magic.substr(0, 6) == kMagic.substr(0, 6) && digits) {
      FailProgram("VTA program: the file is of format " + std::string(magic.substr(6)) +
                  ", this library reads 01; update lcp-tvm or compile the network again");
    }
    FailProgram("VTA program: the bytes do not start with LCPVTA01; this is no VTA program");
  }
  const uint64_t size = LittleEndian64(bytes.substr(kMagic.size()));
  if (size > bytes.size() - kPrefix) {
    FailProgram("VTA program: the header should have " + std::to_string(size) + " bytes, " +
                std::to_string(bytes.size() - kPrefix) + " are there; the file is truncated");
  }
  return bytes.substr(kPrefix, size);
}

[[noreturn]] void Outside(const JsonReader& reader, const std::string& what, uint64_t begin,
                          uint64_t size, uint64_t limit) {
  FailProgram(reader.what() + ": " + what + " is [" + std::to_string(begin) + ", " +
              std::to_string(begin + size) + "), outside of " + std::to_string(limit) + " bytes");
}

TensorSlot ReadTensor(const JsonReader& reader, const Config& config, uint64_t dram_size) {
  TensorSlot slot;
  slot.name = reader.Text("name");
  slot.address = static_cast<uint64_t>(reader.Int("addr", 0, static_cast<int64_t>(dram_size)));
  slot.shape = reader.Ints("shape", 1, kMaxDim);
  if (slot.shape.size() != 2 && slot.shape.size() != 4) {
    FailProgram(reader.what() + ": shape must be [N, C] or [N, C, H, W]");
  }
  const int64_t pixels = slot.shape.size() == 4 ? slot.shape[2] * slot.shape[3] : 1;
  slot.layout = {slot.shape[0], slot.shape[1], pixels, config.batch, config.block};
  // Factors of at most 2^20, 2^20, 2^40 and 2^10: compare by division, not to overflow.
  const int64_t planes = slot.layout.blocks() * slot.layout.groups();
  if (pixels > static_cast<int64_t>(kMaxDram) / config.lanes / planes) {
    FailProgram(reader.what() + ": the tensor is larger than any DRAM");
  }
  slot.bytes = static_cast<uint64_t>(slot.layout.size());
  if (slot.bytes > dram_size - slot.address) {
    Outside(reader, "the tensor", slot.address, slot.bytes, dram_size);
  }
  return slot;
}

Program ReadProgram(const JsonReader& reader, const Config& config, std::string_view raw) {
  Program program;
  program.symbol = reader.Text("symbol");
  if (program.symbol.empty() || program.symbol.rfind("lcp_tvm.", 0) == 0) {
    FailProgram(reader.what() + ": symbol '" + program.symbol + "' is not allowed");
  }
  const int64_t dram_size = reader.Int("dram_size", 1, static_cast<int64_t>(kMaxDram));
  program.dram_size = static_cast<uint64_t>(dram_size);
  const std::vector<int64_t> image = reader.Ints("image", 0, INT64_MAX);
  if (image.size() != 2) {
    FailProgram(reader.what() + ": image must be [offset, size]");
  }
  const auto offset = static_cast<uint64_t>(image[0]), size = static_cast<uint64_t>(image[1]);
  if (offset > raw.size() || size > raw.size() - offset) {
    Outside(reader, "image", offset, size, raw.size());
  }
  if (size > program.dram_size) {
    Outside(reader, "image in DRAM", 0, size, program.dram_size);
  }
  program.image = raw.substr(offset, size);
  program.insn_addr = static_cast<uint64_t>(reader.Int("insn_addr", 0, dram_size));
  program.insn_count = static_cast<uint64_t>(reader.Int("insn_count", 1, dram_size));
  if (program.insn_count > (program.dram_size - program.insn_addr) / kInsnBytes) {
    Outside(reader, "the stream", program.insn_addr, program.insn_count * kInsnBytes,
            program.dram_size);
  }
  for (const JsonReader& tensor : reader.Items("inputs")) {
    program.inputs.push_back(ReadTensor(tensor, config, program.dram_size));
  }
  for (const JsonReader& tensor : reader.Items("outputs")) {
    program.outputs.push_back(ReadTensor(tensor, config, program.dram_size));
  }
  for (const JsonReader& buffer : reader.Items("buffers")) {
    const auto address = static_cast<uint64_t>(buffer.Int("addr", 0, dram_size));
    const auto bytes = static_cast<uint64_t>(buffer.Int("size", 0, dram_size));
    if (bytes > program.dram_size - address) {
      Outside(buffer, "the buffer", address, bytes, program.dram_size);
    }
  }
  const auto count = static_cast<int64_t>(program.insn_count);
  for (const JsonReader& layer : reader.Items("layers")) {
    const int64_t first = layer.Int("first", 0, count);
    program.layers.push_back({static_cast<uint64_t>(first),
                              static_cast<uint64_t>(layer.Int("count", 0, count - first))});
  }
  return program;
}

}  // namespace

ParsedFile ParseProgramFile(std::string_view bytes) {
  const std::string_view header = ReadHeader(bytes);
  const std::string_view raw = bytes.substr(kPrefix + header.size());
  const JsonReader reader = JsonReader::Parse(header, "VTA program", FailProgram);
  const int64_t version = reader.Int("version", 1, INT64_MAX);
  if (version > kVersion) {
    FailProgram("VTA program: version is " + std::to_string(version) + ", this library reads " +
                std::to_string(kVersion) + "; update lcp-tvm or compile the network again");
  }
  ParsedFile file;
  file.header = reader.Dump();
  file.config = ParseConfig(reader.Sub("config").Dump());
  std::set<std::string> symbols;
  uint64_t used = 0;
  for (const JsonReader& item : reader.Items("programs")) {
    const Program& program = file.programs.emplace_back(ReadProgram(item, file.config, raw));
    if (!symbols.insert(program.symbol).second) {
      FailProgram(item.what() + ": symbol '" + program.symbol + "' is there twice");
    }
    used = std::max<uint64_t>(used, program.image.data() + program.image.size() - raw.data());
  }
  if (used != raw.size()) {
    FailProgram("VTA program: " + std::to_string(raw.size() - used) +
                " bytes follow the last image; the file is corrupt");
  }
  return file;
}

}  // namespace lcp_tvm::vta
