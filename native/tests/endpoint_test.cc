// Nodes over loopback: order, content, back-pressure, many peers and threads, and the ends of
// links.
#include "transport/endpoint.h"

#include <atomic>
#include <random>
#include <stdexcept>
#include <thread>

#include "recorder.h"
#include "transport/clock.h"
#include "transport/runs.h"

namespace lcp_tvm::tests {
namespace {

void MessagesComeInOrderAndWhole() {
  Link link;
  const size_t sizes[] = {1, 64, 70000, 600000, 3, 8000000, 0, 100};
  uint64_t frame = 0;
  for (const size_t size : sizes) {
    link.ends[1]->Send(0, Region(frame), Whole(Noise(std::max<size_t>(size, 1), frame)));
    ++frame;
  }
  Header failed;
  failed.kind = Kind::kFailed;
  failed.frame = frame;
  link.ends[1]->SendText(0, failed, "no memory");
  const auto messages = link.handlers[0].WaitForMessages(frame + 1);
  for (uint64_t i = 0; i < frame; ++i) {
    CHECK_EQ(messages[i].header.frame, i);
    CHECK_EQ(messages[i].header.run, kRun);
    CHECK(messages[i].bytes == *Noise(std::max<size_t>(sizes[i], 1), i));
    CHECK_EQ(messages[i].passage.bytes, transport::kHeaderBytes + 8 + messages[i].bytes.size());
    CHECK(messages[i].passage.begin_ns <= messages[i].passage.end_ns);
  }
  CHECK(messages[frame].bytes == Bytes({'n', 'o', ' ', 'm', 'e', 'm', 'o', 'r', 'y'}));
  const auto sent = link.handlers[1].WaitForSent(frame + 1);
  for (uint64_t i = 0; i <= frame; ++i) {
    CHECK_EQ(sent[i].header.frame, i);
    CHECK_EQ(sent[i].passage.bytes, messages[i].passage.bytes);
  }
  CHECK_EQ(link.ends[1]->Queued(0), 0U);
}

void SentTensorsAreLetGo() {
  Link link;
  auto bytes = Noise(5000000, 1);
  const std::weak_ptr<Bytes> watched = bytes;
  link.ends[1]->Send(0, Region(1), Whole(bytes));
  bytes.reset();
  link.handlers[0].WaitForMessages(1);
  link.handlers[1].WaitForSent(1);
  // The next message is told of after the tensor of the one before is let go.
  link.ends[1]->Send(0, Region(2), Whole(Noise(1, 2)));
  link.handlers[1].WaitForSent(2);
  CHECK(watched.expired());
}

void CroppedBoxesAreSentRowByRow() {
  Link link;
  const Box array{4, {0, 10, 20, 30}, {1, 74, 70, 80}};
  const auto memory = Noise(array.Size() * 4, 3);
  const Box parts[] = {
      {4, {0, 10, 20, 30}, {1, 74, 70, 80}},  // all
      {4, {0, 10, 21, 30}, {1, 74, 69, 80}},  // rows
      {4, {0, 10, 20, 31}, {1, 74, 70, 79}},  // short runs
      {4, {0, 11, 30, 40}, {1, 12, 31, 41}},  // one element
      {4, {0, 10, 20, 79}, {1, 74, 70, 80}},  // a column: runs of one element
  };
  for (const Box& part : parts) {
    Payload payload{memory->data(), 4, array, part, memory};
    link.ends[1]->Send(0, Region(0), payload);
  }
  const auto messages = link.handlers[0].WaitForMessages(std::size(parts));
  for (size_t i = 0; i < std::size(parts); ++i) {
    const Payload payload{memory->data(), 4, array, parts[i], memory};
    Bytes expected;
    transport::Runs runs(payload, 0);
    for (transport::Run run; runs.Next(&run);) {
      expected.insert(expected.end(), run.data, run.data + run.bytes);
    }
    CHECK(messages[i].header.box == parts[i]);
    CHECK(messages[i].bytes == expected);
  }
}

void PartsOutsideTheirArrayAreNotSent() {
  Link link;
  Payload payload = Whole(Noise(10, 1));
  payload.part.end[0] = 11;
  bool refused = false;
  try {
    link.ends[1]->Send(0, Region(0), payload);
  } catch (const std::invalid_argument&) {
    refused = true;
  }
  CHECK(refused);
}

void ManySendersToManyPeers() {
  constexpr int kNodes = 5;
  constexpr size_t kThreads = 3;
  constexpr size_t kEach = 40;
  Recorder handlers[kNodes];
  std::unique_ptr<Endpoint> ends[kNodes];
  for (int node = 0; node < kNodes; ++node) {
    ends[node] = std::make_unique<Endpoint>(Options(node, kNodes), &handlers[node]);
    for (int peer = 0; peer < node; ++peer) {
      ends[node]->Connect(peer, "127.0.0.1", ends[peer]->port(), kPatienceMs);
    }
  }
  std::vector<std::thread> threads;
  for (int node = 0; node < kNodes; ++node) {
    for (int peer = 0; peer < kNodes; ++peer) {
      CHECK(peer == node || ends[node]->WaitFor(peer, kPatienceMs));
    }
    for (uint32_t thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, node, thread] {
        for (uint64_t i = 0; i < kEach; ++i) {
          for (int peer = 0; peer < kNodes; ++peer) {
            Header header = Region(i);
            header.task = thread;
            ends[node]->Send(peer, header, Whole(Noise(1 + i * 977, thread)));
          }
        }
      });
    }
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (Recorder& handler : handlers) {
    uint64_t next[kNodes][kThreads] = {};
    for (const auto& message : handler.WaitForMessages(kThreads * kEach * (kNodes - 1))) {
      const uint32_t thread = message.header.task;
      CHECK_EQ(message.header.frame, next[message.peer][thread]++);
      CHECK(message.bytes == *Noise(1 + message.header.frame * 977, thread));
    }
  }
}

void AnswersFromTheHandler() {
  // Each message is sent back from within the handler, which also resumes; nothing locks up.
  Link link;
  Recorder echo;
  Endpoint* self = nullptr;
  std::atomic<bool> ready{false};
  echo.received = [&](const Recorder::Message& message) {
    while (!ready) {
      std::this_thread::yield();
    }
    self->Send(message.peer, message.header, Whole(std::make_shared<Bytes>(message.bytes)));
    self->Resume();
  };
  Recorder caller;
  Endpoint far(Options(0, 2), &echo);
  self = &far;
  ready = true;
  Endpoint near(Options(1, 2), &caller);
  near.Connect(0, "127.0.0.1", far.port(), kPatienceMs);
  for (uint64_t i = 0; i < 300; ++i) {
    near.Send(0, Region(i), Whole(Noise(1 + i * 500, i)));
  }
  const auto messages = caller.WaitForMessages(300);
  for (uint64_t i = 0; i < 300; ++i) {
    CHECK(messages[i].bytes == *Noise(1 + i * 500, i));
  }
}

void WhoWaitsIsNotRead() {
  std::atomic<bool> open{false};
  std::atomic<int> asked{0};
  Link link([&](int, const Header& header) {
    ++asked;
    Place place;
    place.verdict = Place::Verdict::kWait;
    return open ? Taken(header) : place;
  });
  constexpr size_t kMessages = 24;
  constexpr size_t kBytes = 1000000;
  for (uint64_t i = 0; i < kMessages; ++i) {
    link.ends[1]->Send(0, Region(i), Whole(Noise(kBytes, i)));
  }
  // Asked in vain, it still waits.
  link.ends[0]->Resume();
  // The other way still goes, and PONGs tell the sender that its peer lives.
  link.ends[0]->Send(1, Region(7), Whole(Noise(100000, 7)));
  CHECK_EQ(link.handlers[1].WaitForFrame(7).bytes.size(), 100000U);
  CHECK(link.handlers[1].WaitForFrame(0).header.kind == Kind::kPong);
  CHECK_EQ(link.handlers[0].messages(), 0U);
  CHECK(asked >= 2);
  CHECK(link.ends[1]->Queued(0) > 0);
  open = true;
  link.ends[0]->Resume();
  const auto messages = link.handlers[0].WaitForMessages(kMessages);
  for (uint64_t i = 0; i < kMessages; ++i) {
    CHECK(messages[i].bytes == *Noise(kBytes, i));
  }
}

void DroppedMessagesLeaveTheRest() {
  Link link([&](int, const Header& header) {
    Place dropped;
    dropped.verdict = Place::Verdict::kDrop;
    return header.frame % 2 == 1 ? dropped : Taken(header);
  });
  for (uint64_t i = 0; i < 10; ++i) {
    link.ends[1]->Send(0, Region(i), Whole(Noise(1 + i * 70000, i)));
  }
  link.ends[1]->Send(0, Region(10), Whole(Noise(1, 10)));
  const auto messages = link.handlers[0].WaitForMessages(6);
  CHECK_EQ(messages.size(), 6U);
  for (uint64_t i = 0; i < 6; ++i) {
    CHECK_EQ(messages[i].header.frame, 2 * i);
    CHECK(messages[i].bytes == *Noise(i == 5 ? 1 : 1 + 2 * i * 70000, 2 * i));
  }
}

void WhoBreaksARuleIsLost() {
  Link link([](int, const Header&) {
    Place place;
    place.why = "no such tensor";
    return place;
  });
  link.ends[1]->Send(0, Region(0), Whole(Noise(1, 1)));
  const auto lost = link.handlers[0].WaitForLost(1);
  CHECK_EQ(lost[0].second, std::string("it broke a rule: no such tensor"));
  CHECK_EQ(link.handlers[1].WaitForLost(1)[0].first, 0);
}

void ClosingIsNoLossHere() {
  Link link;
  link.ends[1]->Close(0);
  CHECK_EQ(link.handlers[0].WaitForLost(1)[0].second, std::string("it closed the connection"));
  link.ends[1]->Send(0, Region(0), Whole(Noise(1, 1)));  // dropped
  // Both may meet again.
  link.ends[1]->Connect(0, "127.0.0.1", link.ends[0]->port(), kPatienceMs);
  link.ends[1]->Send(0, Region(5), Whole(Noise(1, 1)));
  CHECK_EQ(link.handlers[0].WaitForMessages(1)[0].header.frame, 5U);
  CHECK_EQ(link.handlers[1].lost(), 0U);
}

void ClosingWithinTheHandler() {
  Recorder handler;
  std::atomic<Endpoint*> self{nullptr};
  handler.received = [&](const Recorder::Message&) { self.load()->Close(1); };
  Endpoint far(Options(0, 2), &handler);
  self = &far;
  Recorder caller;
  Endpoint near(Options(1, 2), &caller);
  near.Connect(0, "127.0.0.1", far.port(), kPatienceMs);
  for (uint64_t i = 0; i < 50; ++i) {
    near.Send(0, Region(i), Whole(Noise(100, i)));
  }
  caller.WaitForLost(1);
  CHECK_EQ(handler.WaitForMessages(1).size(), 1U);
  CHECK_EQ(handler.lost(), 0U);
}

void EndingWhileMessagesWait() {
  // An endpoint goes with megabytes unsent and unread; the other end hears of it once.
  const auto bytes = std::make_shared<Bytes>(3000000);
  for (int round = 0; round < 5; ++round) {
    Link link;
    for (uint64_t i = 0; i < 8; ++i) {
      link.ends[1]->Send(0, Region(i), Whole(bytes));
      link.ends[0]->Send(1, Region(i), Whole(bytes));
    }
    link.ends[1].reset();
    CHECK_EQ(link.handlers[0].WaitForLost(1).size(), 1U);
    CHECK(!link.ends[0]->WaitFor(1, 0));
  }
}

void PingsAreAnswered() {
  Link link;
  const int64_t before_ns = transport::NowNs();
  Header ping;
  ping.frame = 77;
  link.ends[1]->Send(0, ping);
  const auto message = link.handlers[1].WaitForMessages(1)[0];
  CHECK_EQ(static_cast<int>(message.header.kind), static_cast<int>(Kind::kPong));
  CHECK_EQ(message.header.frame, 77U);
  int64_t clock_ns = 0;
  CHECK_EQ(message.bytes.size(), sizeof(clock_ns));
  for (size_t i = 0; i < sizeof(clock_ns); ++i) {
    clock_ns |= static_cast<int64_t>(message.bytes[i]) << (8 * i);
  }
  CHECK(before_ns <= clock_ns && clock_ns <= transport::NowNs());
  CHECK(link.ends[0]->HeardNs(1) >= before_ns);
  CHECK(link.ends[1]->HeardNs(0) >= before_ns);
  CHECK_EQ(link.handlers[0].messages(), 0U);
  CHECK_EQ(link.ends[0]->HeardNs(5), 0);
}

void BigMessagesDoNotHoldUpSmallOnes() {
  // Two peers of node 0: one sends far more than a turn, the other asks and is answered meanwhile.
  Recorder handlers[3];
  std::atomic<Endpoint*> self{nullptr};
  handlers[0].received = [&](const Recorder::Message& message) {
    if (message.peer == 2) {
      self.load()->Send(2, message.header, Whole(Noise(1, 1)));
    }
  };
  std::unique_ptr<Endpoint> ends[3];
  for (int node = 0; node < 3; ++node) {
    ends[node] = std::make_unique<Endpoint>(Options(node, 3), &handlers[node]);
  }
  self = ends[0].get();
  ends[1]->Connect(0, "127.0.0.1", ends[0]->port(), kPatienceMs);
  ends[2]->Connect(0, "127.0.0.1", ends[0]->port(), kPatienceMs);
  const auto bytes = Noise(32000000, 1);
  ends[1]->Send(0, Region(0), Whole(bytes));
  ends[2]->Send(0, Region(1), Whole(Noise(1, 1)));
  const int64_t answered_ns = handlers[2].WaitForMessages(1)[0].passage.end_ns;
  const auto messages = handlers[0].WaitForMessages(2);
  CHECK(answered_ns <= messages[1].passage.end_ns);
  CHECK_EQ(messages[1].header.frame, 0U);
  CHECK(messages[1].bytes == *bytes);
}

}  // namespace
}  // namespace lcp_tvm::tests

int main(int argc, char** argv) {
  using namespace lcp_tvm::tests;
  return Main({{"messages come in order and whole", MessagesComeInOrderAndWhole},
               {"sent tensors are let go", SentTensorsAreLetGo},
               {"cropped boxes are sent row by row", CroppedBoxesAreSentRowByRow},
               {"parts outside their array are not sent", PartsOutsideTheirArrayAreNotSent},
               {"many senders to many peers", ManySendersToManyPeers},
               {"answers from the handler", AnswersFromTheHandler},
               {"who waits is not read", WhoWaitsIsNotRead},
               {"dropped messages leave the rest", DroppedMessagesLeaveTheRest},
               {"who breaks a rule is lost", WhoBreaksARuleIsLost},
               {"closing is no loss here", ClosingIsNoLossHere},
               {"closing within the handler", ClosingWithinTheHandler},
               {"ending while messages wait", EndingWhileMessagesWait},
               {"pings are answered", PingsAreAnswered},
               {"big messages do not hold up small ones", BigMessagesDoNotHoldUpSmallOnes}},
              argc, argv);
}
