#include "tracker.h"

#include <poll.h>
#include <sys/random.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "handshake.h"
#include "report.h"

namespace lcp_tvm::agent {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint32_t kTrackerMagic = 0x2F271;
constexpr size_t kMaxAnswer = size_t{64} << 10;

// Requests and the answer that they were taken.
constexpr int kPut = 3;
constexpr int kUpdateInfo = 5;
constexpr int kGetPendingMatchkeys = 7;
constexpr std::string_view kSuccess = "0";

constexpr seconds kAnswerTime{5};
constexpr seconds kPeriod{2};
/*! \brief A secret that a client was given and has not used for so long is replaced. */
constexpr seconds kUnclaimed{6};

/*! \brief A key that needs no escapes in JSON and no quotes for a shell. */
std::string Plain(std::string key) {
  const auto odd = [](unsigned char c) { return std::isalnum(c) == 0 && !std::strchr("-_.", c); };
  std::replace_if(key.begin(), key.end(), odd, '_');
  return key;
}

std::string Quoted(const std::string& text) { return "\"" + text + "\""; }

std::string RandomHex() {
  unsigned char bytes[8];
  if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) {
    return {};
  }
  std::string text;
  for (const unsigned char byte : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", byte);
    text += digits;
  }
  return text;
}

}  // namespace

TrackerAnswer ReadTrackerAnswer(std::string_view bytes) {
  TrackerAnswer answer;
  if (bytes.size() < 4) {
    return answer;
  }
  const size_t size = ReadLittleEndian(bytes);
  if (size > kMaxAnswer) {
    answer.wrong = "its answer is longer than 64 KiB";
  } else if (bytes.size() - 4 > size) {
    answer.wrong = "it says more than it was asked";
  } else if (bytes.size() - 4 == size) {
    answer.complete = true;
    answer.text = bytes.substr(4);
  }
  return answer;
}

Tracker::Tracker(const Address& tracker, std::string name, const std::string& key, uint16_t port)
    : tracker_(tracker), name_(std::move(name)), key_(Plain(key)), port_(port) {}

short Tracker::events() const {
  switch (state_) {
    case State::kAway:
      return 0;
    case State::kConnecting:
      return POLLOUT;
    default:
      return POLLIN;
  }
}

void Tracker::Step(bool busy) {
  pollfd polled{socket(), events(), 0};
  if (socket_.is_open() && poll(&polled, 1, 0) > 0) {
    if (state_ == State::kConnecting) {
      Greet();
    } else {
      Receive(busy);
    }
  }
  if (Clock::now() < deadline_) {
    return;
  }
  if (state_ == State::kAway) {
    Connect();
  } else if (state_ == State::kResting) {
    Ask("[" + std::to_string(kGetPendingMatchkeys) + "]", State::kAsking);
  } else {
    Leave("no answer within 5 s");
  }
}

void Tracker::Connect() {
  socket_ = Descriptor(::socket(tracker_.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const bool begun = socket_.is_open() && (connect(socket(), tracker_.get(), tracker_.size) == 0 ||
                                           errno == EINPROGRESS);
  if (!begun) {
    Leave(std::strerror(errno));
    return;
  }
  Enter(State::kConnecting, kAnswerTime);
}

void Tracker::Greet() {
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(socket(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    Leave(std::strerror(error));
    return;
  }
  // The address other hosts reach this one by is the one the tracker is reached from.
  host_ = BoundTo(socket()).Host();
  const std::string magic = LittleEndian(kTrackerMagic);
  if (send(socket(), magic.data(), magic.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(magic.size())) {
    Leave("the connection broke");
    return;
  }
  Enter(State::kGreeting, kAnswerTime);
}

void Tracker::Offer() {
  const std::string hex = RandomHex();
  secret_ = hex.empty() ? "" : key_ + ":" + hex;
  used_ = taken_ = false;
  Ask("[" + std::to_string(kPut) + "," + Quoted(key_) + ",[" + std::to_string(port_) + "," +
          Quoted(secret_) + "]," + Quoted(host_) + "]",
      State::kOffering);
}

void Tracker::Ask(const std::string& request, State next) {
  const std::string bytes = LittleEndian(static_cast<uint32_t>(request.size())) + request;
  received_.clear();
  // One small request is under way at a time, so the socket's buffer has room for it.
  if (send(socket(), bytes.data(), bytes.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(bytes.size())) {
    Leave("the connection broke");
    return;
  }
  Enter(next, kAnswerTime);
}

void Tracker::Receive(bool busy) {
  char buffer[4096];
  const ssize_t count = recv(socket(), buffer, sizeof(buffer), 0);
  if (count <= 0) {
    if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
      Leave(count == 0 ? "it closed the connection" : std::strerror(errno));
    }
    return;
  }
  received_.append(buffer, static_cast<size_t>(count));
  if (state_ == State::kGreeting) {
    if (received_ == LittleEndian(kTrackerMagic)) {
      Ask("[" + std::to_string(kUpdateInfo) + ",{\"key\":" + Quoted("server:" + key_) +
              ",\"addr\":[" + Quoted(host_) + "," + std::to_string(port_) + "]}]",
          State::kIntroducing);
    } else if (received_.size() >= 4) {
      Leave("it is no TVM RPC tracker");
    }
    return;
  }
  const TrackerAnswer answer = ReadTrackerAnswer(received_);
  if (!answer.wrong.empty()) {
    Leave(std::string(answer.wrong));
  } else if (answer.complete) {
    Heard(answer.text, busy);
  }
}

void Tracker::Heard(std::string_view answer, bool busy) {
  if (state_ == State::kAsking) {
    const bool pending = answer.find(Quoted(secret_)) != std::string_view::npos;
    if (pending) {
      taken_ = false;
    } else if (!taken_) {
      taken_ = true;
      taken_at_ = Clock::now();
    }
    if (taken_ && !busy && (used_ || Clock::now() - taken_at_ > kUnclaimed)) {
      Offer();
    } else {
      Enter(State::kResting, kPeriod);
    }
  } else if (answer != kSuccess || state_ == State::kResting) {
    Leave("it does not take this worker");
  } else if (state_ == State::kIntroducing) {
    Offer();
  } else {
    told_ = false;
    Enter(State::kResting, kPeriod);
  }
}

void Tracker::Leave(const std::string& why) {
  if (!told_) {
    Say("tracker " + name_ + ": " + why + "; trying on");
  }
  told_ = true;
  secret_.clear();
  socket_.Close();
  Enter(State::kAway, kPeriod);
}

void Tracker::Enter(State state, milliseconds time) {
  state_ = state;
  received_.clear();
  deadline_ = Clock::now() + time;
}

}  // namespace lcp_tvm::agent
