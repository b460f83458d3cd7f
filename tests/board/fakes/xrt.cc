// libxrt_core.so of an emulated board; with OLD, one that lacks what XRT 2.11 has.
#include <vector>

#include "memory.h"

using fake::Memory;

namespace {

struct Properties {
  uint32_t handle;
  uint32_t flags;
  uint64_t size;
  uint64_t physical;
  int reserved;
};

std::vector<uint8_t*>& Views() {
  static std::vector<uint8_t*> views;
  return views;
}

}  // namespace

extern "C" {

void* xclOpen(unsigned int, const char*, int) { return &Memory::Instance(); }
void xclClose(void*) {}
unsigned int xclAllocBO(void*, size_t size, int, unsigned int) {
  uint8_t* view = Memory::Instance().Take(size);
  if (view == nullptr) {
    return 0xffffffff;
  }
  Views().push_back(view);
  return static_cast<unsigned int>(Views().size() - 1);
}
void xclFreeBO(void*, unsigned int buffer) { Memory::Instance().Give(Views()[buffer]); }
void* xclMapBO(void*, unsigned int buffer, bool) { return Views()[buffer]; }
int xclUnmapBO(void*, unsigned int, void*) { return 0; }
#ifndef OLD
int xclGetBOProperties(void*, unsigned int buffer, Properties* properties) {
  properties->physical = Memory::Instance().Physical(Views()[buffer]);
  return 0;
}
#endif
int xclSyncBO(void*, unsigned int buffer, int direction, size_t size, size_t offset) {
  uint8_t* view = Views()[buffer];
  const uint64_t physical = Memory::Instance().Physical(view) + offset;
  if (direction == 0) {
    Memory::Instance().Flush(view + offset, physical, size);
  } else {
    Memory::Instance().Invalidate(view + offset, physical, size);
  }
  return 0;
}
}
