#include "greeting.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <utility>

namespace lcp_tvm::transport {

Greeting::State Greeting::Took(size_t bytes) {
  have_ += bytes;
  if (have_ < want_) {
    return State::kReading;
  }
  if (want_ == kHeaderBytes) {
    const int region = RegionBytes(bytes_.data(), &why_);
    if (region > 0) {
      why_ = "a region before any greeting";
    }
    if (region != 0 || !Decode(bytes_.data(), kHeaderBytes, &header_, &why_)) {
      return State::kBroken;
    }
    if (header_.kind != Kind::kHello && header_.kind != Kind::kWelcome &&
        header_.kind != Kind::kRefused) {
      why_ = std::string(Name(header_.kind)) + " before any greeting";
      return State::kBroken;
    }
    want_ += static_cast<size_t>(header_.payload);
  }
  return have_ < want_ ? State::kReading : State::kComplete;
}

std::string Greeting::text() const {
  return {bytes_.begin() + kHeaderBytes, bytes_.begin() + static_cast<ptrdiff_t>(want_)};
}

bool Say(int fd, Header header, const std::string& text) {
  const size_t size = std::min<size_t>(text.size(), kMaxText);
  header.payload = size;
  std::array<uint8_t, kMaxHeadBytes> head;
  const size_t head_bytes = Encode(header, &head);
  std::string bytes(head.begin(), head.begin() + head_bytes);
  bytes.append(text, 0, size);
  return send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
         static_cast<ssize_t>(bytes.size());
}

std::string HelloProblem(const EndpointOptions& options, const Greeting& hello) {
  const Header& header = hello.header();
  const auto self = static_cast<uint32_t>(options.node);
  if (header.kind != Kind::kHello) {
    return std::string(Name(header.kind)) + " instead of HELLO";
  }
  if (hello.text() != options.version) {
    return "version " + hello.text() + " there, " + options.version + " here";
  }
  if (header.run != options.run) {
    return "another run";
  }
  if (header.word != self) {
    return "this is node " + std::to_string(self) + ", not " + std::to_string(header.word);
  }
  if (header.task <= self || header.task >= static_cast<uint32_t>(options.nodes)) {
    return "node " + std::to_string(header.task) + " does not connect to node " +
           std::to_string(self);
  }
  return "";
}

Fd OpenAndGreet(const EndpointOptions& options, int peer, const std::string& host, uint16_t port,
                int64_t deadline_ns) {
  const std::string where =
      "node " + std::to_string(peer) + " at " + host + ":" + std::to_string(port) + ": ";
  Fd fd;
  try {
    fd = Dial(host, port, deadline_ns);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(where + error.what());
  }
  Header hello;
  hello.kind = Kind::kHello;
  hello.run = options.run;
  hello.task = static_cast<uint32_t>(options.node);
  hello.word = static_cast<uint32_t>(peer);
  if (!Say(fd.get(), hello, options.version)) {
    throw std::runtime_error(where + "closed the connection");
  }
  Greeting answer;
  auto state = Greeting::State::kReading;
  while (state == Greeting::State::kReading) {
    if (!WaitUntil(fd.get(), POLLIN, deadline_ns)) {
      throw std::runtime_error(where + "no answer in time");
    }
    const ssize_t count = recv(fd.get(), answer.data(), answer.wanted(), MSG_DONTWAIT);
    if (count > 0) {
      state = answer.Took(static_cast<size_t>(count));
    } else if (count == 0) {
      throw std::runtime_error(where + "closed the connection");
    } else if (errno != EAGAIN && errno != EINTR) {
      throw std::runtime_error(where + ErrorText(errno));
    }
  }
  if (state == Greeting::State::kBroken) {
    throw std::runtime_error(where + answer.why());
  }
  if (answer.header().kind != Kind::kWelcome) {
    throw std::runtime_error(where + "refused: " + answer.text());
  }
  if (answer.text() != options.version) {
    throw std::runtime_error(where + "version " + answer.text() + " there, " + options.version +
                             " here");
  }
  return fd;
}

}  // namespace lcp_tvm::transport
