#include "outbox.h"

#include <limits.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "clock.h"
#include "runs.h"

namespace lcp_tvm::transport {

namespace {

constexpr size_t kShortRun = 256;
constexpr size_t kPackedBytes = 65536;
constexpr int kMaxParts = IOV_MAX;

/*! \brief The bytes of a message from where it stands, as parts; how many bytes they are. */
class Parts {
 public:
  Parts(const Message& message, uint64_t budget, std::vector<uint8_t>* packed) : left_(budget) {
    uint64_t from = 0;
    if (message.sent < message.head_bytes) {
      const auto gone = static_cast<size_t>(message.sent);
      Add(message.head.data() + gone, message.head_bytes - gone);
    } else {
      from = message.sent - message.head_bytes;
    }
    if (message.bytes > message.head_bytes) {
      Runs runs(message.payload, from);
      if (runs.run_bytes() < kShortRun && runs.run_bytes() < message.header.payload) {
        Pack(&runs, packed);
      } else {
        Gather(&runs);
      }
    }
  }

  iovec* data() { return parts_.data(); }
  size_t count() const { return count_; }
  uint64_t bytes() const { return bytes_; }

 private:
  void Add(const uint8_t* data, size_t bytes) {
    // The socket only reads through iov_base.
    parts_[count_++] = {const_cast<uint8_t*>(data), bytes};
    bytes_ += bytes;
    left_ -= std::min<uint64_t>(left_, bytes);
  }

  void Gather(Runs* runs) {
    Run run;
    while (left_ > 0 && count_ < kMaxParts && runs->Next(&run)) {
      Add(run.data, static_cast<size_t>(std::min<uint64_t>(run.bytes, left_)));
    }
  }

  void Pack(Runs* runs, std::vector<uint8_t>* packed) {
    packed->resize(kPackedBytes);
    size_t used = 0;
    Run run;
    while (used + kShortRun <= kPackedBytes && runs->Next(&run)) {
      std::memcpy(packed->data() + used, run.data, run.bytes);
      used += run.bytes;
    }
    Add(packed->data(), used);
  }

  uint64_t left_;
  uint64_t bytes_ = 0;
  size_t count_ = 0;
  std::array<iovec, kMaxParts> parts_;
};

}  // namespace

Message MakeMessage(Header header, Payload payload) {
  Message message;
  header.payload = payload.data == nullptr ? 0 : payload.part.Size() * payload.item_bytes;
  header.box = HasRegion(header.kind) ? payload.part : Box{};
  message.header = header;
  message.payload = std::move(payload);
  message.head_bytes = Encode(header, &message.head);
  message.bytes = message.head_bytes + header.payload;
  return message;
}

Payload OwnBytes(std::string bytes) {
  auto copy = std::make_shared<const std::string>(std::move(bytes));
  Payload payload;
  payload.data = reinterpret_cast<const uint8_t*>(copy->data());
  payload.array.ndim = 1;
  payload.array.end[0] = static_cast<uint32_t>(copy->size());
  payload.part = payload.array;
  payload.keep = std::move(copy);
  return payload;
}

bool Outbox::Push(Message message) {
  const std::lock_guard<std::mutex> lock(mutex_);
  queued_bytes_ += message.bytes;
  queue_.push_back(std::move(message));
  return !std::exchange(writing_, true);
}

bool Outbox::Write(int fd, std::vector<Message>* left) {
  uint64_t budget = kTurnBytes;
  for (;;) {
    Message* first = nullptr;
    bool last = false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (queue_.empty()) {
        writing_ = false;
        return true;
      }
      first = &queue_.front();
      last = queue_.size() == 1;
    }
    if (budget == 0) {
      return false;
    }
    const ssize_t count = WriteSome(fd, first, last, budget);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      return false;
    }
    budget -= std::min<uint64_t>(budget, static_cast<uint64_t>(count));
    const std::lock_guard<std::mutex> lock(mutex_);
    queued_bytes_ -= static_cast<uint64_t>(count);
    if (first->sent == first->bytes) {
      left->push_back(std::move(*first));
      queue_.pop_front();
    }
  }
}

ssize_t Outbox::WriteSome(int fd, Message* message, bool last, uint64_t budget) {
  if (message->sent == 0) {
    message->begin_ns = NowNs();
  }
  Parts parts(*message, budget, &packed_);
  msghdr out{};
  out.msg_iov = parts.data();
  out.msg_iovlen = static_cast<decltype(out.msg_iovlen)>(parts.count());
  const bool more = !last || message->sent + parts.bytes() < message->bytes;
  const ssize_t count = sendmsg(fd, &out, MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0));
  if (count > 0) {
    message->sent += static_cast<uint64_t>(count);
    if (message->sent == message->bytes) {
      message->end_ns = NowNs();
    }
  }
  return count;
}

uint64_t Outbox::Queued() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return queued_bytes_;
}

}  // namespace lcp_tvm::transport
