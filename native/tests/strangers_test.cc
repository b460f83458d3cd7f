// Who is not a peer, or ceases to behave as one, is sent away; the others notice nothing.
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "recorder.h"
#include "stream.h"
#include "transport/clock.h"
#include "transport/socket.h"

namespace lcp_tvm::tests {
namespace {

using transport::NowNs;

int64_t Deadline() { return NowNs() + int64_t{kPatienceMs} * 1000000; }

/*! \brief A socket that speaks to an endpoint in bytes of the test's own. */
class Raw {
 public:
  explicit Raw(uint16_t port) : fd_(transport::Dial("127.0.0.1", port, Deadline())) {}

  /*! \brief False: the other end takes no more. */
  bool Say(const Bytes& bytes) const {
    return send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }

  /*! \brief All that comes until the other end closes. */
  Bytes Hear() const {
    Bytes heard;
    uint8_t bytes[4096];
    for (;;) {
      CHECK(transport::WaitUntil(fd_.get(), POLLIN, Deadline()));
      const ssize_t count = recv(fd_.get(), bytes, sizeof(bytes), 0);
      if (count <= 0) {
        return heard;
      }
      heard.insert(heard.end(), bytes, bytes + count);
    }
  }

  /*! \brief The reason of the REFUSED that comes before the end. */
  std::string HearRefusal() const {
    const Bytes heard = Hear();
    Header header;
    std::string why;
    CHECK(heard.size() >= transport::kHeaderBytes);
    CHECK(transport::Decode(heard.data(), transport::kHeaderBytes, &header, &why), why);
    CHECK_EQ(static_cast<int>(header.kind), static_cast<int>(Kind::kRefused));
    return {heard.begin() + transport::kHeaderBytes, heard.end()};
  }

  /*! \brief Greet node 0 as a node; its WELCOME. */
  void Greet(uint32_t node) const {
    Bytes hello;
    Append(Hello(kRun, node, 0), Words("1.2.3"), &hello);
    CHECK(Say(hello));
    Bytes welcome(transport::kHeaderBytes + 5);
    CHECK(transport::WaitUntil(fd_.get(), POLLIN, Deadline()));
    CHECK_EQ(recv(fd_.get(), welcome.data(), welcome.size(), MSG_WAITALL),
             static_cast<ssize_t>(welcome.size()));
    CHECK_EQ(static_cast<int>(welcome[5]), static_cast<int>(Kind::kWelcome));
  }

  /*! \brief At its end the connection is reset, as by a board that goes. */
  void CutHard() const {
    const linger hard{1, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  }

  int fd() const { return fd_.get(); }

 private:
  transport::Fd fd_;
};

/*! \brief Node 0 of four with a peer, node 1, whose traffic goes on whatever others do. */
struct House {
  explicit House(int hello_timeout_ms = kPatienceMs) {
    EndpointOptions options = Options(0, 4);
    options.hello_timeout_ms = hello_timeout_ms;
    end = std::make_unique<Endpoint>(options, &handler);
    peer = std::make_unique<Endpoint>(Options(1, 4), &peer_handler);
    peer->Connect(0, "127.0.0.1", end->port(), kPatienceMs);
  }

  /*! \brief The peer is served as ever. */
  void CheckPeer() {
    const auto bytes = Noise(300000, static_cast<uint32_t>(exchanged));
    peer->Send(0, Region(exchanged), Whole(bytes));
    const auto messages = handler.WaitForMessages(++exchanged);
    CHECK_EQ(messages.back().peer, 1);
    CHECK(messages.back().bytes == *bytes);
    CHECK_EQ(peer_handler.lost(), 0U);
  }

  Recorder handler;
  Recorder peer_handler;
  std::unique_ptr<Endpoint> end;
  std::unique_ptr<Endpoint> peer;
  size_t exchanged = 0;
};

Bytes HelloBytes(uint32_t from, uint32_t to, uint64_t run, const std::string& version) {
  Bytes hello;
  Append(Hello(run, from, to), Words(version), &hello);
  return hello;
}

void GarbageIsRefused() {
  House house;
  std::mt19937 random(4);
  for (const size_t size : {48, 49, 4096, 100000}) {
    const Raw raw(house.end->port());
    Bytes garbage(size);
    for (uint8_t& byte : garbage) {
      byte = static_cast<uint8_t>(random());
    }
    raw.Say(garbage);
    CHECK_EQ(raw.HearRefusal(), std::string("what came is no frame"));
    house.CheckPeer();
  }
  const Raw browser(house.end->port());
  browser.Say(Words("GET / HTTP/1.1\r\nHost: board\r\nUser-Agent: curl/8.0\r\n\r\n"));
  CHECK_EQ(browser.HearRefusal(), std::string("what came is no frame"));
  house.CheckPeer();
}

void WrongGreetingsAreRefused() {
  House house;
  Bytes oversized = HelloBytes(2, 0, kRun, "1.2.3");
  oversized[45] = 1;  // 2^40 bytes more
  Bytes protocol = HelloBytes(2, 0, kRun, "1.2.3");
  protocol[4] = 2;
  Bytes region;
  Append(RegionOf(kRun, 0, 1), {1}, &region);
  Header steal;
  steal.kind = Kind::kSteal;
  Bytes theft;
  Append(steal, {}, &theft);
  const struct {
    Bytes words;
    const char* why;
  } cases[] = {
      {oversized, "HELLO with a payload of 1099511627781 bytes; at most 4096"},
      {protocol, "protocol 2, not 1"},
      {region, "a region before any greeting"},
      {theft, "STEAL before any greeting"},
      {HelloBytes(2, 0, kRun, "1.2.4"), "version 1.2.4 there, 1.2.3 here"},
      {HelloBytes(2, 0, kRun + 1, "1.2.3"), "another run"},
      {HelloBytes(2, 3, kRun, "1.2.3"), "this is node 0, not 3"},
      {HelloBytes(0, 0, kRun, "1.2.3"), "node 0 does not connect to node 0"},
      {HelloBytes(4, 0, kRun, "1.2.3"), "node 4 does not connect to node 0"},
      {HelloBytes(1, 0, kRun, "1.2.3"), "node 1 is connected already"},
  };
  for (const auto& each : cases) {
    const Raw raw(house.end->port());
    CHECK(raw.Say(each.words));
    CHECK_EQ(raw.HearRefusal(), std::string(each.why));
    house.CheckPeer();
  }
}

void RefusalsReachWhoConnects() {
  House house;
  const std::string where = "node 0 at 127.0.0.1:" + std::to_string(house.end->port()) + ": ";
  EndpointOptions version = Options(2, 4);
  version.version = "2.0.0";
  EndpointOptions run = Options(2, 4);
  run.run = kRun + 1;
  const struct {
    EndpointOptions options;
    std::string why;
  } cases[] = {
      {version, where + "refused: version 2.0.0 there, 1.2.3 here"},
      {run, where + "refused: another run"},
      {Options(1, 4), where + "refused: node 1 is connected already"},
  };
  for (const auto& each : cases) {
    Recorder handler;
    Endpoint stranger(each.options, &handler);
    std::string why;
    try {
      stranger.Connect(0, "127.0.0.1", house.end->port(), kPatienceMs);
    } catch (const std::runtime_error& error) {
      why = error.what();
    }
    CHECK_EQ(why, each.why);
    house.CheckPeer();
  }
}

void NobodyThere() {
  Recorder handler;
  Endpoint end(Options(1, 2), &handler);
  const auto refusal = [&](uint16_t port, int timeout_ms) -> std::string {
    try {
      end.Connect(0, "127.0.0.1", port, timeout_ms);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  };
  uint16_t port = 0;
  {
    const transport::Fd listener = transport::Listen("127.0.0.1", &port);
    CHECK_EQ(refusal(port, 100),  // it accepts, and says nothing
             "node 0 at 127.0.0.1:" + std::to_string(port) + ": no answer in time");
  }
  CHECK_EQ(refusal(port, kPatienceMs),
           "node 0 at 127.0.0.1:" + std::to_string(port) + ": Connection refused");
  CHECK(!end.WaitFor(0, 0));
}

void SlowStrangersAreClosed() {
  House house(/*hello_timeout_ms=*/200);
  const Raw drip(house.end->port());
  const Raw silent(house.end->port());
  const Bytes hello = HelloBytes(2, 0, kRun, "1.2.3");
  // A byte now and then does not prolong its time.
  pollfd closed{drip.fd(), POLLIN, 0};
  for (size_t at = 0; at + 1 < hello.size() && poll(&closed, 1, 20) == 0; ++at) {
    drip.Say({hello[at]});
  }
  CHECK(drip.Hear().empty());
  CHECK(silent.Hear().empty());
  house.CheckPeer();
}

void CrowdsAreThinned() {
  House house;
  std::unique_ptr<Raw> crowd[100];
  for (std::unique_ptr<Raw>& stranger : crowd) {
    stranger = std::make_unique<Raw>(house.end->port());
  }
  // The oldest have gone, and a node comes through all the same.
  for (size_t i = 0; i < std::size(crowd) - 32; ++i) {
    CHECK(crowd[i]->Hear().empty());
  }
  Recorder handler;
  Endpoint late(Options(2, 4), &handler);
  late.Connect(0, "127.0.0.1", house.end->port(), kPatienceMs);
  house.CheckPeer();
}

void DescriptorsThatRunOutComeBack() {
  House house;
  rlimit before{};
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const int next = dup(0);
  close(next);
  // One more descriptor is for the stranger's own end; to accept it there is none.
  rlimit few{static_cast<rlim_t>(next) + 1, before.rlim_max};
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  const Raw raw(house.end->port());
  house.CheckPeer();
  CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  raw.Greet(2);
}

void PeersThatMisbehaveAreLost() {
  House house;
  Bytes whole;
  Append(RegionOf(kRun, 0, 100), Bytes(100), &whole);
  Bytes garbage(200, 'x');
  Bytes again = HelloBytes(2, 0, kRun, "1.2.3");
  Bytes other;
  Append(RegionOf(kRun + 1, 0, 1), Bytes(1), &other);
  Bytes oversized = whole;
  oversized[46] = 1;  // 2^48 bytes more
  const Bytes half(whole.begin(), whole.begin() + 100);
  const Bytes head(whole.begin(), whole.begin() + 10);
  const std::string cut = "it closed the connection in the middle of a message";
  const struct {
    Bytes words;
    std::string why;
  } cases[] = {
      {garbage, "it broke a rule: what came is no frame"},
      {again, "it broke a rule: HELLO after the greeting"},
      {other, "it broke a rule: REGION of another run"},
      {oversized,
       "it broke a rule: REGION with a payload of 281474976710756 bytes; at most 2147483648"},
      {half, cut},
      {head, cut},
      {{}, "it closed the connection"},
  };
  size_t lost = 0;
  for (const auto& each : cases) {
    {
      const Raw raw(house.end->port());
      raw.Greet(3);
      CHECK(each.words.empty() || raw.Say(each.words));
      shutdown(raw.fd(), SHUT_WR);
      raw.Hear();  // until it is closed there
    }
    const auto all = house.handler.WaitForLost(++lost);
    CHECK_EQ(all.back().first, 3);
    CHECK_EQ(all.back().second, each.why);
    house.CheckPeer();
  }
}

void CutConnectionsAreLost() {
  House house;
  for (size_t round = 1; round <= 20; ++round) {
    {
      const Raw raw(house.end->port());
      raw.Greet(2);
      house.end->Send(2, Region(0), Whole(Noise(8000000, 1)));
      raw.CutHard();
    }
    CHECK_EQ(house.handler.WaitForLost(round).back().first, 2);
  }
  house.CheckPeer();
}

void AHeldConnectionThatBreaksIsLost() {
  Recorder handler;
  std::promise<void> asked;
  handler.receive = [&](int, const Header&) {
    asked.set_value();
    Place place;
    place.verdict = Place::Verdict::kWait;
    return place;
  };
  Endpoint end(Options(0, 2), &handler);
  {
    const Raw raw(end.port());
    raw.Greet(1);
    Bytes stream;
    Append(RegionOf(kRun, 0, 100), Bytes(100), &stream);
    CHECK(raw.Say(stream));
    CHECK(asked.get_future().wait_for(kPatience) == std::future_status::ready);
    raw.CutHard();
  }
  CHECK_EQ(handler.WaitForLost(1)[0].second, std::string("the connection broke"));
}

void BytesOneByOneMakeMessages() {
  House house;
  const Raw raw(house.end->port());
  raw.Greet(2);
  Bytes stream;
  for (uint32_t frame = 0; frame < 5; ++frame) {
    Append(RegionOf(kRun, frame, 10 + frame), Bytes(10 + frame, 7), &stream);
  }
  for (const uint8_t byte : stream) {
    CHECK(raw.Say({byte}));
  }
  const auto messages = house.handler.WaitForMessages(5);
  for (uint32_t frame = 0; frame < 5; ++frame) {
    CHECK_EQ(messages[frame].header.frame, frame);
    CHECK(messages[frame].bytes == Bytes(10 + frame, 7));
  }
}

}  // namespace
}  // namespace lcp_tvm::tests

int main(int argc, char** argv) {
  using namespace lcp_tvm::tests;
  return Main({{"garbage is refused", GarbageIsRefused},
               {"wrong greetings are refused", WrongGreetingsAreRefused},
               {"refusals reach who connects", RefusalsReachWhoConnects},
               {"nobody there", NobodyThere},
               {"slow strangers are closed", SlowStrangersAreClosed},
               {"crowds are thinned", CrowdsAreThinned},
               {"descriptors that run out come back", DescriptorsThatRunOutComeBack},
               {"peers that misbehave are lost", PeersThatMisbehaveAreLost},
               {"cut connections are lost", CutConnectionsAreLost},
               {"a held connection that breaks is lost", AHeldConnectionThatBreaksIsLost},
               {"bytes one by one make messages", BytesOneByOneMakeMessages}},
              argc, argv);
}
