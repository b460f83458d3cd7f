// Who touched which bytes of DRAM last, for the happens-before check.
//
// DRAM is written by the store unit alone and read by load and compute, so a granule needs three
// numbers: the last store that wrote it, the last load-unit and the last compute-unit instruction
// that read it. A read is ordered when its instruction knows that store; a write is ordered when it
// knows both readers; stores are in order among themselves. Granules are 16 bytes (smaller where an
// output element is); pages of them exist only where an instruction has been.
#ifndef LCP_TVM_DRAM_TRACK_H_
#define LCP_TVM_DRAM_TRACK_H_

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "schedule.h"

namespace lcp_tvm::vta {

/*! \brief An unordered pair: the earlier access, and the bytes [begin, end) they share. */
struct DramRace {
  bool found = false;
  Unit other = kStore;
  uint32_t number = 0;
  uint64_t begin = 0;
  uint64_t end = 0;
};

class DramTrack {
 public:
  DramTrack(uint64_t size, int64_t element_bytes);

  /*! \brief Record a read of [begin, end) by instruction `number` of `unit` that knows `known`. */
  DramRace Read(uint64_t begin, uint64_t end, Unit unit, uint32_t number, const Clock& known);
  /*! \brief Record a write by store `number`. */
  DramRace Write(uint64_t begin, uint64_t end, uint32_t number, const Clock& known);

 private:
  // Last instruction by unit; 0 is none. The store's entry is the writer, the others are readers.
  using Granule = std::array<uint32_t, kNumUnits>;
  static constexpr int kLogPage = 8;
  Granule* At(uint64_t granule);
  template <class Visit>
  DramRace Walk(uint64_t begin, uint64_t end, const Visit& visit);

  int log_granule_;
  std::vector<std::unique_ptr<Granule[]>> pages_;
};

}  // namespace lcp_tvm::vta
#endif  // LCP_TVM_DRAM_TRACK_H_
