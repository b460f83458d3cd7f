// A node of the tests: takes all messages and notes what came.
#ifndef LCP_TVM_TESTS_RECORDER_H_
#define LCP_TVM_TESTS_RECORDER_H_

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "transport/endpoint.h"

namespace lcp_tvm::tests {

using transport::Box;
using transport::Endpoint;
using transport::EndpointOptions;
using transport::Handler;
using transport::Header;
using transport::Kind;
using transport::Passage;
using transport::Payload;
using transport::Place;
using Bytes = std::vector<uint8_t>;

/*! \brief Nobody waits longer than this for what must happen. */
constexpr std::chrono::seconds kPatience{60};
constexpr int kPatienceMs = 60000;

inline Place Taken(const Header& header) {
  auto bytes = std::make_shared<Bytes>(header.payload);
  Place place;
  place.verdict = Place::Verdict::kTake;
  place.data = bytes->data();
  place.keep = std::move(bytes);
  return place;
}

class Recorder : public Handler {
 public:
  struct Message {
    int peer = -1;
    Header header;
    Bytes bytes;
    Passage passage;
  };

  // Set before the endpoint is made, or left alone.
  std::function<Place(int, const Header&)> receive = [](int, const Header& header) {
    return Taken(header);
  };
  std::function<void(const Message&)> received = [](const Message&) {};

  Place Receive(int peer, const Header& header) override { return receive(peer, header); }

  void Received(int peer, const Header& header, Place place, const Passage& passage) override {
    CHECK_EQ(place.keep.use_count(), 1);  // so that what the handler lets go of is freed
    Message message{peer, header, Bytes(place.data, place.data + header.payload), passage};
    received(message);
    Note([&] { messages_.push_back(std::move(message)); });
  }

  void Sent(int peer, const Header& header, const Passage& passage) override {
    Note([&] { sent_.push_back({peer, header, {}, passage}); });
  }

  void Lost(int peer, const std::string& why) override {
    Note([&] { lost_.emplace_back(peer, why); });
  }

  std::vector<Message> WaitForMessages(size_t count) {
    return WaitFor(count, &messages_, "messages");
  }
  /*! \brief The first message of a frame. */
  Message WaitForFrame(uint64_t frame) {
    std::unique_lock<std::mutex> lock(mutex_);
    auto found = messages_.end();
    const bool come = changed_.wait_for(lock, kPatience, [&] {
      found = std::find_if(messages_.begin(), messages_.end(),
                           [&](const Message& each) { return each.header.frame == frame; });
      return found != messages_.end();
    });
    CHECK(come, "frame " + std::to_string(frame));
    return *found;
  }
  std::vector<Message> WaitForSent(size_t count) { return WaitFor(count, &sent_, "sent"); }
  std::vector<std::pair<int, std::string>> WaitForLost(size_t count) {
    return WaitFor(count, &lost_, "lost");
  }
  size_t messages() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return messages_.size();
  }
  size_t lost() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return lost_.size();
  }

 private:
  template <typename Change>
  void Note(Change change) {
    const std::lock_guard<std::mutex> lock(mutex_);
    change();
    changed_.notify_all();
  }

  template <typename List>
  List WaitFor(size_t count, const List* list, const char* what) {
    std::unique_lock<std::mutex> lock(mutex_);
    const bool come = changed_.wait_for(lock, kPatience, [&] { return list->size() >= count; });
    CHECK(come, std::to_string(list->size()) + " of " + std::to_string(count) + " " + what);
    return *list;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Message> messages_;
  std::vector<Message> sent_;
  std::vector<std::pair<int, std::string>> lost_;
};

constexpr uint64_t kRun = 0x5EED;

inline EndpointOptions Options(int node, int nodes) {
  EndpointOptions options;
  options.host = "127.0.0.1";
  options.run = kRun;
  options.node = node;
  options.nodes = nodes;
  options.version = "1.2.3";
  return options;
}

/*! \brief Two nodes that are connected; 1 has opened the connection. */
struct Link {
  Link() { Open(); }
  Link(std::function<Place(int, const Header&)> receive_at_0) {
    handlers[0].receive = std::move(receive_at_0);
    Open();
  }

  void Open() {
    for (int node = 0; node < 2; ++node) {
      ends[node] = std::make_unique<Endpoint>(Options(node, 2), &handlers[node]);
    }
    ends[1]->Connect(0, "127.0.0.1", ends[0]->port(), kPatienceMs);
    CHECK(ends[0]->WaitFor(1, kPatienceMs));
  }

  Recorder handlers[2];
  std::unique_ptr<Endpoint> ends[2];
};

inline Header Region(uint64_t frame) {
  Header header;
  header.kind = Kind::kRegion;
  header.frame = frame;
  return header;
}

/*! \brief Bytes to send as they are. */
inline Payload Whole(const std::shared_ptr<Bytes>& bytes) {
  Payload payload;
  payload.data = bytes->data();
  payload.array.ndim = 1;
  payload.array.end[0] = static_cast<uint32_t>(bytes->size());
  payload.part = payload.array;
  payload.keep = bytes;
  return payload;
}

/*! \brief Bytes that differ from their neighbours and from those of other seeds. */
inline std::shared_ptr<Bytes> Noise(size_t size, uint32_t seed) {
  auto bytes = std::make_shared<Bytes>(size);
  std::mt19937 random(seed);
  for (size_t at = 0; at < size; at += sizeof(uint32_t)) {
    const auto word = static_cast<uint32_t>(random());
    std::memcpy(bytes->data() + at, &word, std::min(sizeof(word), size - at));
  }
  return bytes;
}

}  // namespace lcp_tvm::tests
#endif  // LCP_TVM_TESTS_RECORDER_H_
