// The kernel module u-dma-buf: one stretch of contiguous memory, shared out here.
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "contiguous.h"
#include "mapped.h"

namespace lcp_tvm::driver {

namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kCacheLine = 64;

/*! \brief Free parts of [0, size), by their start: first fit, neighbours merge. */
class FreeList {
 public:
  explicit FreeList(uint64_t size) : parts_{{0, size}} {}

  /*! \brief The start of a part; UINT64_MAX when none is large enough. */
  uint64_t Take(uint64_t size) {
    for (auto part = parts_.begin(); part != parts_.end(); ++part) {
      const auto [begin, room] = *part;
      if (room >= size) {
        parts_.erase(part);
        if (room > size) {
          parts_[begin + size] = room - size;
        }
        return begin;
      }
    }
    return UINT64_MAX;
  }

  void Give(uint64_t begin, uint64_t size) {
    const auto next = parts_.find(begin + size);
    if (next != parts_.end()) {
      size += next->second;
      parts_.erase(next);
    }
    const auto after = parts_.lower_bound(begin);
    if (after != parts_.begin()) {
      const auto before = std::prev(after);
      if (before->first + before->second == begin) {
        before->second += size;
        return;
      }
    }
    parts_[begin] = size;
  }

 private:
  std::map<uint64_t, uint64_t> parts_;
};

struct Region {
  Region(const Root& root, std::string folder, Mapped memory, uint64_t physical, uint64_t size)
      : root(root),
        folder(std::move(folder)),
        memory(std::move(memory)),
        physical(physical),
        parts(size) {}

  /*! \brief Hand a range over, to the device or back: docs of u-dma-buf, "sync_for_cpu". */
  void Sync(const char* to, uint64_t begin, uint64_t size) const {
    constexpr uint64_t kBothWays = 0 << 2;
    const uint64_t first = begin / kCacheLine * kCacheLine;
    const uint64_t length = (begin + size - first + kCacheLine - 1) / kCacheLine * kCacheLine;
    char text[24];
    std::snprintf(text, sizeof(text), "0x%016llx",
                  static_cast<unsigned long long>(first << 32 | length | kBothWays | 1));
    root.Put(folder + to, text);
  }

  const Root root;
  const std::string folder;
  const Mapped memory;
  const uint64_t physical;
  std::mutex mutex;
  FreeList parts;
};

class RegionMemory final : public Contiguous {
 public:
  RegionMemory(Region* region, uint64_t begin, uint64_t size)
      : Contiguous(region->memory.data() + begin, region->physical + begin),
        region_(region),
        begin_(begin),
        size_(size) {}
  ~RegionMemory() override {
    const std::lock_guard<std::mutex> lock(region_->mutex);
    region_->parts.Give(begin_, size_);
  }

  void Flush(uint64_t offset, uint64_t size) override {
    region_->Sync("/sync_for_device", begin_ + offset, size);
  }
  void Invalidate(uint64_t offset, uint64_t size) override {
    region_->Sync("/sync_for_cpu", begin_ + offset, size);
  }

 private:
  Region* const region_;
  const uint64_t begin_;
  const uint64_t size_;
};

class UdmabufSource final : public ContiguousSource {
 public:
  explicit UdmabufSource(std::unique_ptr<Region> region) : region_(std::move(region)) {}

  const char* name() const override { return "udmabuf"; }

  std::unique_ptr<Contiguous> Allocate(uint64_t size) override {
    const uint64_t pages = (size + kPage - 1) / kPage * kPage;
    const std::lock_guard<std::mutex> lock(region_->mutex);
    const uint64_t begin = region_->parts.Take(pages);
    if (begin == UINT64_MAX) {
      return nullptr;
    }
    return std::make_unique<RegionMemory>(region_.get(), begin, pages);
  }

  const char* cure() const override { return "load the module u-dma-buf with a larger udmabuf0="; }

 private:
  const std::unique_ptr<Region> region_;
};

uint64_t Number(const Root& root, const std::string& path) {
  return std::strtoull(root.Word(path).value_or("0").c_str(), nullptr, 0);
}

}  // namespace

std::unique_ptr<ContiguousSource> OpenUdmabuf(const Root& root, std::string* why) {
  const std::string folder = "/sys/class/u-dma-buf/udmabuf0";
  const uint64_t size = Number(root, folder + "/size");
  const uint64_t physical = Number(root, folder + "/phys_addr");
  if (size == 0 || physical == 0) {
    *why = "the module u-dma-buf has no udmabuf0 (modprobe u-dma-buf udmabuf0=67108864)";
    return nullptr;
  }
  Mapped memory(root.At("/dev/udmabuf0"), 0, size, true);
  if (!memory.is_open()) {
    *why = "/dev/udmabuf0 cannot be mapped; are you root?";
    return nullptr;
  }
  return std::make_unique<UdmabufSource>(
      std::make_unique<Region>(root, folder, std::move(memory), physical, size));
}

}  // namespace lcp_tvm::driver
