#include "dram_track.h"

#include <algorithm>

namespace lcp_tvm::vta {

DramTrack::DramTrack(uint64_t size, int64_t element_bytes) : log_granule_(4) {
  while ((int64_t{1} << log_granule_) > element_bytes) {
    --log_granule_;
  }
  pages_.resize((size >> (log_granule_ + kLogPage)) + 1);
}

DramTrack::Granule* DramTrack::At(uint64_t granule) {
  std::unique_ptr<Granule[]>& page = pages_[granule >> kLogPage];
  if (page == nullptr) {
    page = std::make_unique<Granule[]>(size_t{1} << kLogPage);
  }
  return &page[granule & ((uint64_t{1} << kLogPage) - 1)];
}

// `visit` returns the unit of an unordered access, or kNumUnits. The race grows over the granules
// that follow with the same offender.
template <class Visit>
DramRace DramTrack::Walk(uint64_t begin, uint64_t end, const Visit& visit) {
  DramRace race;
  if (begin >= end) {
    return race;
  }
  const uint64_t last = (end - 1) >> log_granule_;
  for (uint64_t granule = begin >> log_granule_; granule <= last; ++granule) {
    Granule* entry = At(granule);
    const Granule before = *entry;
    const int other = visit(entry);
    if (other == kNumUnits) {
      if (race.found) {
        break;
      }
      continue;
    }
    if (race.found && (other != race.other || before[other] != race.number)) {
      break;
    }
    if (!race.found) {
      race.found = true;
      race.other = static_cast<Unit>(other);
      race.number = before[other];
      race.begin = std::max(begin, granule << log_granule_);
    }
    race.end = std::min(end, (granule + 1) << log_granule_);
  }
  return race;
}

DramRace DramTrack::Read(uint64_t begin, uint64_t end, Unit unit, uint32_t number,
                         const Clock& known) {
  return Walk(begin, end, [&](Granule* entry) -> int {
    (*entry)[unit] = number;
    return (*entry)[kStore] > known[kStore] ? static_cast<int>(kStore) : kNumUnits;
  });
}

DramRace DramTrack::Write(uint64_t begin, uint64_t end, uint32_t number, const Clock& known) {
  return Walk(begin, end, [&](Granule* entry) -> int {
    (*entry)[kStore] = number;
    for (const Unit reader : {kLoad, kCompute}) {
      if ((*entry)[reader] > known[reader]) {
        return reader;
      }
    }
    return kNumUnits;
  });
}

}  // namespace lcp_tvm::vta
