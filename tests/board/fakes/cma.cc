// libcma.so of an emulated board.
#include "memory.h"

using fake::Memory;

extern "C" {

void* cma_alloc(uint32_t size, uint32_t) {
  uint8_t* view = Memory::Instance().Take(size);
  return view != nullptr ? view : reinterpret_cast<void*>(-1);
}
void cma_free(void* view) { Memory::Instance().Give(view); }
unsigned long cma_get_phy_addr(void* view) { return Memory::Instance().Physical(view); }
void cma_flush_cache(void* view, unsigned int physical, int size) {
  Memory::Instance().Flush(static_cast<uint8_t*>(view), physical, size);
}
void cma_invalidate_cache(void* view, unsigned int physical, int size) {
  Memory::Instance().Invalidate(static_cast<uint8_t*>(view), physical, size);
}
}
