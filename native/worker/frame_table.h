// The frames that a node knows: those under way, and which have ended.
#ifndef LCP_TVM_WORKER_FRAME_TABLE_H_
#define LCP_TVM_WORKER_FRAME_TABLE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

#include "core.h"

namespace lcp_tvm::worker {

/*! \brief A frame under way. */
struct FrameState {
  uint64_t number = 0;
  const RoutePlan* route = nullptr;
  /*! \brief Where the frame is handed out, or passes: its inputs, as they come. */
  std::vector<BlockRef> inputs;
  size_t inputs_missing = 0;
  /*! \brief By task of settled place, what has come for it; nothing once it has started. */
  std::unordered_map<int, std::unique_ptr<Gather>> gathers;
  /*! \brief Gathers that have not started, and jobs that have not ended. */
  int unfinished = 0;
};

class FrameTable {
 public:
  static constexpr size_t kMaxFrames = 4096;

  FrameState* Find(uint64_t number) {
    const auto found = frames_.find(number);
    return found == frames_.end() ? nullptr : &found->second;
  }
  /*! \brief Whether a frame has ended; old ones that never were here count as ended. */
  bool HasEnded(uint64_t number) const {
    return frames_.count(number) == 0 && (number < floor_ || ended_.count(number) > 0);
  }
  /*! \brief The frames under way, the oldest first. */
  const std::map<uint64_t, FrameState>& all() const { return frames_; }
  bool IsFull() const { return frames_.size() >= kMaxFrames; }
  FrameState& Add(uint64_t number, const RoutePlan& route, size_t inputs) {
    FrameState& frame = frames_[number];
    frame.number = number;
    frame.route = &route;
    frame.inputs.resize(inputs);
    frame.inputs_missing = inputs;
    return frame;
  }
  void End(uint64_t number) {
    frames_.erase(number);
    ended_.insert(number);
    if (ended_.size() > kMaxFrames) {
      floor_ = *ended_.begin() + 1;
      ended_.erase(ended_.begin());
    }
  }

 private:
  std::map<uint64_t, FrameState> frames_;
  std::set<uint64_t> ended_;
  uint64_t floor_ = 0;
};

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_FRAME_TABLE_H_
