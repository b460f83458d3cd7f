#include "reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace lcp_tvm::transport {

namespace {

constexpr size_t kBufferBytes = 16384;
static_assert(kBufferBytes >= kMaxHeadBytes, "a head must fit");

}  // namespace

Reader::Reader(uint64_t run, Sink* sink)
    : run_(run), sink_(sink), buffer_(std::make_unique<uint8_t[]>(kBufferBytes)) {}

bool Reader::InMessage() const { return phase_ != Phase::kHead || begin_ != end_; }

int Reader::Space(iovec (*parts)[2]) {
  int used = 0;
  if (phase_ == Phase::kPayload) {
    (*parts)[used++] = {place_.data + filled_, static_cast<size_t>(header_.payload - filled_)};
  }
  // An unfinished head moves to the front, where the rest of it has room.
  std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  (*parts)[used++] = {buffer_.get() + end_, kBufferBytes - end_};
  return used;
}

Reader::State Reader::Took(size_t bytes, int64_t now_ns) {
  if (phase_ == Phase::kPayload) {
    const size_t part = static_cast<size_t>(std::min<uint64_t>(bytes, header_.payload - filled_));
    filled_ += part;
    bytes -= part;
  }
  end_ += bytes;
  return Parse(now_ns);
}

Reader::State Reader::Retry(int64_t now_ns) { return Parse(now_ns); }

Reader::State Reader::Parse(int64_t now_ns) {
  for (;;) {
    switch (phase_) {
      case Phase::kHead:
        if (!ParseHead(now_ns)) {
          return why_.empty() ? State::kReading : State::kBroken;
        }
        break;
      case Phase::kAsk: {
        const State state = Ask();
        if (state != State::kReading) {
          return state;
        }
        break;
      }
      case Phase::kPayload:
        if (!TakePayload(now_ns)) {
          return State::kReading;
        }
        break;
      case Phase::kDrop:
        if (!DropPayload()) {
          return State::kReading;
        }
        break;
    }
  }
}

bool Reader::ParseHead(int64_t now_ns) {
  const size_t have = end_ - begin_;
  if (have < kHeaderBytes) {
    return false;
  }
  const uint8_t* bytes = buffer_.get() + begin_;
  const int region = RegionBytes(bytes, &why_);
  if (region < 0) {
    return false;
  }
  head_bytes_ = kHeaderBytes + static_cast<size_t>(region);
  if (have < head_bytes_ || !Decode(bytes, head_bytes_, &header_, &why_)) {
    return false;
  }
  if (header_.run != run_) {
    why_ = std::string(Name(header_.kind)) + " of another run";
    return false;
  }
  begin_ += head_bytes_;
  begin_ns_ = now_ns;
  phase_ = Phase::kAsk;
  return true;
}

Reader::State Reader::Ask() {
  place_ = sink_->Receive(header_);
  filled_ = 0;
  switch (place_.verdict) {
    case Place::Verdict::kWait:
      return State::kWaiting;
    case Place::Verdict::kClose:
      why_ = place_.why;
      break;
    case Place::Verdict::kDrop:
      phase_ = Phase::kDrop;
      return State::kReading;
    case Place::Verdict::kTake:
      if (header_.payload == 0 || place_.data != nullptr) {
        phase_ = Phase::kPayload;
        return State::kReading;
      }
      why_ = std::string("no place for ") + Name(header_.kind);
      break;
  }
  return State::kBroken;
}

bool Reader::TakePayload(int64_t now_ns) {
  const size_t part =
      static_cast<size_t>(std::min<uint64_t>(end_ - begin_, header_.payload - filled_));
  if (part > 0) {
    std::memcpy(place_.data + filled_, buffer_.get() + begin_, part);
    begin_ += part;
    filled_ += part;
  }
  if (filled_ < header_.payload) {
    return false;
  }
  phase_ = Phase::kHead;
  sink_->Received(header_, std::exchange(place_, Place()),
                  {begin_ns_, now_ns, head_bytes_ + header_.payload});
  return true;
}

bool Reader::DropPayload() {
  const size_t part =
      static_cast<size_t>(std::min<uint64_t>(end_ - begin_, header_.payload - filled_));
  begin_ += part;
  filled_ += part;
  if (filled_ < header_.payload) {
    return false;
  }
  phase_ = Phase::kHead;
  return true;
}

}  // namespace lcp_tvm::transport
