// What it costs to move a tensor from one process to another, beside a bare TCP socket.
//
//     transport_bench ROUNDS
//
// Both ways go over loopback between the same two processes. One round is one message there and a
// short answer back; the two ways take turns, and the medians of all rounds are printed as CSV.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "transport/clock.h"
#include "transport/endpoint.h"
#include "transport/runs.h"

namespace lcp_tvm::transport {
namespace {

constexpr int kTimeoutMs = 10000;
constexpr size_t kWarmUp = 20;
constexpr uint64_t kMaxBytes = uint64_t{1} << 24;

struct Case {
  const char* name;
  Box array;
  Box part;
};

/*! \brief Cases of float32 tensors. */
const Case kCases[] = {
    {"64 B", {1, {0}, {16}}, {1, {0}, {16}}},
    {"600 KB", {3, {0, 0, 0}, {24, 80, 80}}, {3, {0, 0, 0}, {24, 80, 80}}},
    {"600 KB cropped", {3, {0, 0, 0}, {24, 96, 96}}, {3, {0, 8, 8}, {24, 88, 88}}},
    {"300 KB window of 600 KB", {3, {0, 0, 0}, {24, 80, 80}}, {3, {0, 12, 12}, {24, 68, 68}}},
    {"16 MB", {3, {0, 0, 0}, {64, 250, 250}}, {3, {0, 0, 0}, {64, 250, 250}}},
};

void Check(bool holds, const char* what) {
  if (!holds) {
    std::perror(what);
    std::exit(EXIT_FAILURE);
  }
}

/*! \brief A bare socket, blocking, with TCP_NODELAY as ours have it. */
class Bare {
 public:
  explicit Bare(int fd) : fd_(fd) {
    const int on = 1;
    Check(setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0, "TCP_NODELAY");
  }

  /*! \brief `flags`: MSG_MORE when more follows, so that both leave together. */
  void Write(const uint8_t* data, size_t bytes, int flags = 0) const {
    while (bytes > 0) {
      const ssize_t count = send(fd_, data, bytes, MSG_NOSIGNAL | flags);
      Check(count > 0, "send");
      data += count;
      bytes -= static_cast<size_t>(count);
    }
  }

  bool Read(uint8_t* data, size_t bytes) const {
    while (bytes > 0) {
      const ssize_t count = recv(fd_, data, bytes, MSG_WAITALL);
      if (count <= 0) {
        return false;
      }
      data += count;
      bytes -= static_cast<size_t>(count);
    }
    return true;
  }

 private:
  int fd_;
};

/*! \brief The far process's bare side: reads sizes and as many bytes, answers each. */
void AnswerBare(int listener, uint8_t* memory) {
  const int fd = accept(listener, nullptr, nullptr);
  Check(fd >= 0, "accept");
  const Bare bare(fd);
  uint64_t bytes = 0;
  while (bare.Read(reinterpret_cast<uint8_t*>(&bytes), sizeof(bytes)) && bare.Read(memory, bytes)) {
    bare.Write(memory, 1);
  }
}

/*! \brief Receives into memory that is there; lets somebody wait for what comes. */
class Receiver : public Handler {
 public:
  explicit Receiver(uint8_t* memory) : memory_(memory) {}

  Place Receive(int, const Header& header) override {
    Place place;
    place.verdict = header.payload <= kMaxBytes ? Place::Verdict::kTake : Place::Verdict::kClose;
    place.data = memory_;
    return place;
  }

  void Received(int peer, const Header& header, Place, const Passage&) override {
    if (header.kind == Kind::kRegion) {
      Header answer;
      answer.kind = Kind::kWork;
      endpoint->Send(peer, answer);
    }
    Note(&received_);
  }

  void Sent(int, const Header&, const Passage&) override {}
  void Lost(int, const std::string&) override { Note(&lost_); }

  void WaitForMessage() { Wait(&received_); }
  void WaitForLoss() { Wait(&lost_); }

  Endpoint* endpoint = nullptr;

 private:
  void Note(int* count) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++*count;
    changed_.notify_all();
  }

  void Wait(int* count) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return *count > 0; });
    --*count;
  }

  uint8_t* memory_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int received_ = 0;
  int lost_ = 0;
};

EndpointOptions Options(int node) {
  EndpointOptions options;
  options.host = "127.0.0.1";
  options.node = node;
  options.nodes = 2;
  options.version = "bench";
  return options;
}

/*! \brief The far process: node 0, and the bare socket's answers, until the near one goes. */
void Far(int listener, int pipe) {
  std::vector<uint8_t> memory(kMaxBytes);
  std::vector<uint8_t> bare_memory(kMaxBytes);
  Receiver receiver(memory.data());
  Endpoint endpoint(Options(0), &receiver);
  receiver.endpoint = &endpoint;
  const uint16_t port = endpoint.port();
  Check(write(pipe, &port, sizeof(port)) == sizeof(port), "write");
  AnswerBare(listener, bare_memory.data());
  receiver.WaitForLoss();
}

double Median(std::vector<int64_t>* ns) {
  std::nth_element(ns->begin(), ns->begin() + static_cast<ptrdiff_t>(ns->size() / 2), ns->end());
  return static_cast<double>((*ns)[ns->size() / 2]) / 1000;
}

/*! \brief A round over the bare socket, which sends packed bytes only. */
int64_t BareRound(const Bare& bare, const Payload& payload, std::vector<uint8_t>* packed) {
  const int64_t begin_ns = NowNs();
  const uint64_t bytes = payload.part.Size() * payload.item_bytes;
  const uint8_t* data = payload.data;
  if (!(payload.part == payload.array)) {
    Runs runs(payload, 0);
    uint8_t* to = packed->data();
    for (Run run; runs.Next(&run); to += run.bytes) {
      std::memcpy(to, run.data, run.bytes);
    }
    data = packed->data();
  }
  bare.Write(reinterpret_cast<const uint8_t*>(&bytes), sizeof(bytes), MSG_MORE);
  bare.Write(data, bytes);
  uint8_t answer = 0;
  Check(bare.Read(&answer, 1), "recv");
  return NowNs() - begin_ns;
}

int64_t EndpointRound(Endpoint* endpoint, Receiver* receiver, const Payload& payload) {
  const int64_t begin_ns = NowNs();
  Header header;
  header.kind = Kind::kRegion;
  endpoint->Send(0, header, payload);
  receiver->WaitForMessage();
  return NowNs() - begin_ns;
}

void Near(const Bare& bare, uint16_t port, size_t rounds) {
  std::vector<uint8_t> memory(kMaxBytes);
  Receiver receiver(memory.data());
  Endpoint endpoint(Options(1), &receiver);
  receiver.endpoint = &endpoint;
  endpoint.Connect(0, "127.0.0.1", port, kTimeoutMs);
  const auto tensor = std::make_shared<std::vector<uint8_t>>(kMaxBytes, 7);
  std::vector<uint8_t> packed(kMaxBytes);
  std::printf("case,bytes,runs,socket_us,endpoint_us,ratio,endpoint_gb_s\n");
  for (const Case& each : kCases) {
    const Payload payload{tensor->data(), 4, each.array, each.part, tensor};
    const uint64_t bytes = each.part.Size() * 4;
    size_t count = 0;
    Runs runs(payload, 0);
    for (Run run; runs.Next(&run);) {
      ++count;
    }
    std::vector<int64_t> bare_ns;
    std::vector<int64_t> endpoint_ns;
    for (size_t round = 0; round < kWarmUp + rounds; ++round) {
      bare_ns.push_back(BareRound(bare, payload, &packed));
      endpoint_ns.push_back(EndpointRound(&endpoint, &receiver, payload));
      if (round < kWarmUp) {
        bare_ns.clear();
        endpoint_ns.clear();
      }
    }
    const double bare_us = Median(&bare_ns);
    const double endpoint_us = Median(&endpoint_ns);
    std::printf("%s,%llu,%zu,%.1f,%.1f,%.2f,%.2f\n", each.name,
                static_cast<unsigned long long>(bytes), count, bare_us, endpoint_us,
                endpoint_us / bare_us, static_cast<double>(bytes) / endpoint_us / 1000);
    std::fflush(stdout);
  }
}

int Main(int argc, char** argv) {
  const size_t rounds = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 0;
  if (rounds == 0) {
    std::fprintf(stderr, "usage: transport_bench ROUNDS\n");
    return EXIT_FAILURE;
  }
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  Check(listener >= 0, "socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  Check(bind(listener, reinterpret_cast<sockaddr*>(&address), size) == 0, "bind");
  Check(listen(listener, 1) == 0, "listen");
  Check(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) == 0, "getsockname");
  int pipes[2];
  Check(pipe(pipes) == 0, "pipe");
  const pid_t child = fork();
  Check(child >= 0, "fork");
  if (child == 0) {
    Far(listener, pipes[1]);
    return EXIT_SUCCESS;
  }
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  Check(fd >= 0, "socket");
  Check(connect(fd, reinterpret_cast<sockaddr*>(&address), size) == 0, "connect");
  uint16_t port = 0;
  Check(read(pipes[0], &port, sizeof(port)) == sizeof(port), "read");
  Near(Bare(fd), port, rounds);
  close(fd);
  Check(waitpid(child, nullptr, 0) == child, "waitpid");
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace lcp_tvm::transport

int main(int argc, char** argv) { return lcp_tvm::transport::Main(argc, argv); }
