// Contiguous memory of an emulated board, not coherent: the CPU's view and the accelerator's are
// two, and only flushing and invalidating copy between them.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

namespace fake {

constexpr uint64_t kPhysical = 0x10000000;  // as emulated_board.py has it

class Memory {
 public:
  Memory() {
    const std::string path = std::string(std::getenv("LCP_FAKE_BOARD")) + "/ram";
    const int file = open(path.c_str(), O_RDWR);
    struct stat facts{};
    fstat(file, &facts);
    size_ = static_cast<uint64_t>(facts.st_size);
    ram_ = static_cast<uint8_t*>(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
    close(file);
  }

  /*! \brief The CPU's view of a new stretch, full of what no one has flushed; null: none left. */
  uint8_t* Take(uint64_t size) {
    const uint64_t pages = (size + 4095) / 4096 * 4096;
    if (next_ + pages > size_) {
      return nullptr;
    }
    auto* view = static_cast<uint8_t*>(std::malloc(pages));
    std::memset(view, 0xA5, pages);
    offsets_[view] = next_;
    next_ += pages;
    return view;
  }

  void Give(void* view) {
    offsets_.erase(static_cast<uint8_t*>(view));
    std::free(view);
    if (offsets_.empty()) {
      next_ = 0;
    }
  }

  uint64_t Physical(void* view) const {
    return kPhysical + offsets_.at(static_cast<uint8_t*>(view));
  }

  void Flush(const uint8_t* view, uint64_t physical, uint64_t size) {
    std::memcpy(ram_ + (physical - kPhysical), view, size);
  }

  void Invalidate(uint8_t* view, uint64_t physical, uint64_t size) {
    std::memcpy(view, ram_ + (physical - kPhysical), size);
  }

  static Memory& Instance() {
    static Memory memory;
    return memory;
  }

 private:
  uint8_t* ram_ = nullptr;
  uint64_t size_ = 0;
  uint64_t next_ = 0;
  std::map<uint8_t*, uint64_t> offsets_;
};

}  // namespace fake
