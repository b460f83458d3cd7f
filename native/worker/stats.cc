#include "stats.h"

#include <algorithm>
#include <sstream>

#include "alarm.h"

namespace lcp_tvm::worker {

namespace {

constexpr size_t kMaxFrames = 4096;
constexpr size_t kMaxSpans = size_t{1} << 16;

/*! \brief `[[...], ...]` of the rows that `row` writes. */
template <typename Rows, typename Row>
std::string Table(const Rows& rows, Row row) {
  std::ostringstream out;
  const char* separator = "[";
  for (const auto& each : rows) {
    out << separator << "[";
    row(out, each);
    out << "]";
    separator = ", ";
  }
  out << (rows.empty() ? "[]" : "]");
  return out.str();
}

}  // namespace

void Stats::Began(uint64_t frame) {
  if (frames_.size() >= kMaxFrames) {
    frames_.erase(frames_.begin());
  }
  Frame& entry = frames_[frame];
  entry.first_ns = entry.last_ns = NowNs();
}

void Stats::Ended(uint64_t frame) {
  if (Frame* entry = Find(frame)) {
    entry->ended = true;
  }
}

void Stats::Computed(const Job& job, const Outcome& outcome) {
  late_ns_ = std::max(late_ns_, outcome.late_ns);
  Keep({"compute", job.frame, job.task, -1, outcome.begin_ns, outcome.end_ns, 0});
  if (Frame* frame = Find(job.frame)) {
    frame->compute_ns += outcome.end_ns - outcome.begin_ns;
    frame->last_ns = std::max(frame->last_ns, outcome.end_ns);
    frame->tasks += 1;
    frame->stolen += job.is_stolen ? 1 : 0;
    frame->fallbacks += job.is_fallback ? 1 : 0;
  }
}

void Stats::Sent(int peer, const transport::Header& header, const transport::Passage& passage) {
  links_[peer].sent_bytes += passage.bytes;
  if (Frame* frame = Passed("send", peer, header, passage)) {
    frame->sent_bytes += passage.bytes;
  }
}

void Stats::Received(int peer, const transport::Header& header, const transport::Passage& passage) {
  links_[peer].received_bytes += passage.bytes;
  if (Frame* frame = Passed("receive", peer, header, passage)) {
    frame->received_bytes += passage.bytes;
  }
}

void Stats::Clock(int peer, int64_t offset_ns, int64_t round_trip_ns) {
  PeerClock& clock = clocks_[peer];
  if (clock.round_trip_ns == 0 || clock.reported || round_trip_ns <= clock.round_trip_ns) {
    clock = {offset_ns, round_trip_ns, false};
  }
}

std::string Stats::Take(MemoryBudget* budget, uint64_t weight_bytes) {
  std::ostringstream out;
  out << "{\"now_ns\": " << NowNs() << ", \"held_bytes\": " << budget->held()
      << ", \"peak_bytes\": " << budget->Peak() << ", \"weight_bytes\": " << weight_bytes
      << ", \"late_ns\": " << late_ns_ << ", \"frames\": " << FramesJson() << ", \"links\": "
      << Table(links_,
               [](std::ostream& row, const auto& entry) {
                 const auto& [peer, link] = entry;
                 row << peer << ", " << link.sent_bytes << ", " << link.received_bytes << ", "
                     << link.messages;
               })
      << ", \"clocks\": "
      << Table(clocks_,
               [](std::ostream& row, const auto& entry) {
                 const auto& [peer, clock] = entry;
                 row << peer << ", " << clock.offset_ns << ", " << clock.round_trip_ns;
               })
      << ", \"spans\": "
      << Table(spans_,
               [](std::ostream& row, const Span& span) {
                 row << '"' << span.lane << "\", " << span.frame << ", " << span.task << ", "
                     << span.peer << ", " << span.begin_ns << ", " << span.end_ns << ", "
                     << span.bytes;
               })
      << "}";
  links_.clear();
  spans_.clear();
  late_ns_ = 0;
  for (auto& [peer, clock] : clocks_) {
    clock.reported = true;
  }
  return out.str();
}

std::string Stats::FramesJson() {
  std::map<uint64_t, Frame> ended;
  for (auto entry = frames_.begin(); entry != frames_.end();) {
    const auto next = std::next(entry);
    if (entry->second.ended) {
      ended.insert(frames_.extract(entry));
    }
    entry = next;
  }
  return Table(ended, [](std::ostream& row, const auto& entry) {
    const auto& [number, frame] = entry;
    row << number << ", " << frame.first_ns << ", " << frame.last_ns << ", " << frame.compute_ns
        << ", " << frame.transfer_ns << ", " << frame.sent_bytes << ", " << frame.received_bytes
        << ", " << frame.tasks << ", " << frame.stolen << ", " << frame.fallbacks;
  });
}

Stats::Frame* Stats::Find(uint64_t frame) {
  const auto found = frames_.find(frame);
  return found == frames_.end() ? nullptr : &found->second;
}

Stats::Frame* Stats::Passed(const char* lane, int peer, const transport::Header& header,
                            const transport::Passage& passage) {
  links_[peer].messages += 1;
  if (header.kind != transport::Kind::kRegion && header.kind != transport::Kind::kInput) {
    return nullptr;
  }
  const int64_t task = header.task == transport::kFrameTask ? -1 : int64_t{header.task};
  Keep({lane, header.frame, task, peer, passage.begin_ns, passage.end_ns, passage.bytes});
  Frame* frame = Find(header.frame);
  if (frame != nullptr) {
    frame->first_ns = std::min(frame->first_ns, passage.begin_ns);
    frame->last_ns = std::max(frame->last_ns, passage.end_ns);
    const int64_t begin = std::max(passage.begin_ns, frame->transferred_ns);
    frame->transfer_ns += std::max<int64_t>(passage.end_ns - begin, 0);
    frame->transferred_ns = std::max(frame->transferred_ns, passage.end_ns);
  }
  return frame;
}

void Stats::Keep(const Span& span) {
  if (!trace_) {
    return;
  }
  if (spans_.size() >= kMaxSpans) {
    spans_.pop_front();
  }
  spans_.push_back(span);
}

}  // namespace lcp_tvm::worker
