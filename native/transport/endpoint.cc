#include "endpoint.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <limits>
#include <stdexcept>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "clock.h"
#include "connection.h"
#include "greeting.h"
#include "lobby.h"
#include "mailbox.h"
#include "peers.h"
#include "poller.h"
#include "runs.h"
#include "socket.h"

namespace lcp_tvm::transport {

namespace {

// Numbers for the poller; connections and strangers count on from here.
constexpr uint64_t kWakeId = 0;
constexpr uint64_t kListenId = 1;
constexpr uint64_t kFirstId = 2;
constexpr int64_t kMs = 1000000;
/*! \brief A connection that is held back says so often that this node is alive. */
constexpr int64_t kPongNs = 500 * kMs;

using ConnectionPtr = std::shared_ptr<Connection>;

}  // namespace

class Endpoint::Impl : public Exchange {
 public:
  Impl(EndpointOptions options, Handler* handler)
      : options_(std::move(options)),
        handler_(handler),
        peers_(options_.nodes),
        lobby_(options_, &poller_, kListenId) {
    poller_.Add(mailbox_.wake(), kWakeId);
    thread_ = std::thread([this] { Loop(); });
  }

  ~Impl() override {
    mailbox_.Post([](Mail* mail) { mail->stop = true; });
    thread_.join();
  }

  uint16_t port() const { return lobby_.port(); }

  void Connect(int peer, const std::string& host, uint16_t port, int timeout_ms) {
    const std::string who = "node " + std::to_string(peer);
    if (peer < 0 || peer >= options_.node) {
      throw std::runtime_error(who + " is the one that connects to node " +
                               std::to_string(options_.node));
    }
    if (peers_.Find(peer) != nullptr) {
      throw std::runtime_error(who + " is connected already");
    }
    Fd fd = OpenAndGreet(options_, peer, host, port, NowNs() + timeout_ms * kMs);
    const ConnectionPtr connection = MakeConnection(next_id_++, peer, std::move(fd));
    // Whatever others have of it for this thread comes after this.
    peers_.Add(connection,
               [&] { mailbox_.Post([&](Mail* mail) { mail->joined.push_back(connection); }); });
  }

  bool WaitFor(int peer, int timeout_ms) const { return peers_.WaitFor(peer, timeout_ms); }

  void Send(int peer, const Header& header, Payload payload) {
    const ConnectionPtr connection = peers_.Find(peer);
    if (connection != nullptr) {
      Queue(connection, header, std::move(payload), /*told=*/true);
    }
  }

  void Resume() {
    mailbox_.Post([](Mail* mail) { mail->resume = true; });
  }

  void Close(int peer) {
    ConnectionPtr connection = peers_.Remove(peer);
    if (connection != nullptr) {
      connection->End();
      mailbox_.Post([&](Mail* mail) { mail->closed.push_back(std::move(connection)); });
    }
  }

  int64_t HeardNs(int peer) const { return peers_.HeardNs(peer); }

  uint64_t Queued(int peer) const {
    const ConnectionPtr connection = peers_.Find(peer);
    return connection == nullptr ? 0 : connection->outbox.Queued();
  }

 private:
  ConnectionPtr MakeConnection(uint64_t id, int peer, Fd fd) {
    peers_.Heard(peer, NowNs());
    return std::make_shared<Connection>(id, peer, std::move(fd), options_.run, this);
  }

  void Queue(const ConnectionPtr& connection, Header header, Payload payload, bool told) {
    header.run = options_.run;
    Message message = MakeMessage(header, std::move(payload));
    message.told = told;
    if (connection->outbox.Push(std::move(message)) && !WriteTurn(*connection)) {
      mailbox_.Post([&](Mail* mail) { mail->unwritten.push_back(connection); });
    }
  }

  /*! \brief With the outbox's token: true when all is written. */
  bool WriteTurn(Connection& connection) {
    std::vector<Message> left;
    const bool all = connection.outbox.Write(connection.fd.get(), &left);
    const bool told = std::any_of(left.begin(), left.end(), [](auto& each) { return each.told; });
    if (told) {
      mailbox_.Post([&](Mail* mail) {
        for (Message& message : left) {
          mail->sent.emplace_back(connection.peer, std::move(message));
        }
      });
    }
    return all;
  }

  // What follows runs on the endpoint's thread.

  void Heard(int peer, int64_t now_ns) override { peers_.Heard(peer, now_ns); }

  Place Receive(int peer, const Header& header) override { return handler_->Receive(peer, header); }

  void Received(int peer, const Header& header, Place place, const Passage& passage) override {
    handler_->Received(peer, header, std::move(place), passage);
  }

  void Pong(int peer, Header header) override {
    const ConnectionPtr connection = peers_.Find(peer);
    if (connection != nullptr) {
      header.kind = Kind::kPong;
      const int64_t now_ns = NowNs();
      std::string clock(8, 0);
      for (size_t i = 0; i < clock.size(); ++i) {
        clock[i] = static_cast<char>(now_ns >> (8 * i));
      }
      Queue(connection, header, OwnBytes(std::move(clock)), /*told=*/false);
    }
  }

  void Loop() {
    do {
      const int timeout_ms = mailbox_.Sleep() ? TimeoutMs() : 0;
      poller_.Wait(timeout_ms, [this](uint64_t id, uint32_t events) { Serve(id, events); });
      Tick();
    } while (ReadMail());
  }

  void Serve(uint64_t id, uint32_t events) {
    if (id == kWakeId) {
      mailbox_.Hush();
    } else if (id == kListenId) {
      lobby_.AcceptAll(&next_id_, NowNs());
    } else if (lobby_.Has(id)) {
      Admit(id);
    } else {
      const auto found = connections_.find(id);
      if (found != connections_.end()) {
        const ConnectionPtr connection = found->second;
        Serve(connection, events);
      }
    }
  }

  void Serve(const ConnectionPtr& connection, uint32_t events) {
    if (!connection->held) {
      if ((events & ~uint32_t{EPOLLOUT}) != 0) {
        Follow(connection, connection->ReadTurn());
      }
    } else if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
      Lose(connection, "the connection broke");
    }
    if ((events & EPOLLOUT) != 0 && !connection->ended() && WriteTurn(*connection)) {
      connection->unwritten = false;
      WatchAgain(*connection);
    }
  }

  /*! \brief Hear a stranger; let it in when it is a node that is not here yet. */
  void Admit(uint64_t id) {
    const int node = lobby_.Read(id);
    if (node < 0) {
      return;
    }
    if (peers_.Find(node) != nullptr) {
      lobby_.Refuse(id, "node " + std::to_string(node) + " is connected already");
      return;
    }
    Fd fd = lobby_.Leave(id);
    Header welcome;
    welcome.kind = Kind::kWelcome;
    welcome.run = options_.run;
    // Nobody finds the peer, and sends to it, before it has been welcomed.
    if (Say(fd.get(), welcome, options_.version)) {
      const ConnectionPtr connection = MakeConnection(id, node, std::move(fd));
      peers_.Add(connection, [&] { connections_[id] = connection; });
    }
  }

  /*! \brief Do as its reader says: go on, wait, or end it. */
  void Follow(const ConnectionPtr& connection, Reader::State state) {
    if (state == Reader::State::kBroken) {
      Lose(connection, connection->why());
      return;
    }
    const bool held = state == Reader::State::kWaiting;
    if (std::exchange(connection->held, held) != held) {
      connection->pong_ns = NowNs() + kPongNs;
      WatchAgain(*connection);
    }
  }

  void Lose(const ConnectionPtr& connection, const std::string& why) {
    peers_.Remove(*connection);
    const bool news = connection->End();
    Forget(*connection);
    if (news) {
      handler_->Lost(connection->peer, why);
    }
  }

  void Forget(const Connection& connection) {
    if (connections_.erase(connection.id) != 0) {
      poller_.Remove(connection.fd);
    }
  }

  /*! \brief False: it is time to end. */
  bool ReadMail() {
    Mail mail = mailbox_.Take();
    if (mail.stop) {
      return false;
    }
    for (const ConnectionPtr& connection : mail.joined) {
      connections_[connection->id] = connection;
      poller_.Add(connection->fd, connection->id);
    }
    for (const ConnectionPtr& connection : mail.unwritten) {
      if (connections_.count(connection->id) != 0) {
        connection->unwritten = true;
        WatchAgain(*connection);
      }
    }
    for (auto& [peer, message] : mail.sent) {
      if (message.told) {
        handler_->Sent(peer, message.header, {message.begin_ns, message.end_ns, message.bytes});
      }
      message.payload.keep.reset();
    }
    for (const ConnectionPtr& connection : mail.closed) {
      Forget(*connection);
    }
    if (mail.resume) {
      Retry();
    }
    return true;
  }

  /*! \brief Ask again about the messages that wait. */
  void Retry() {
    for (const ConnectionPtr& connection : Held()) {
      if (!connection->ended()) {
        Follow(connection, connection->Retry());
      }
    }
  }

  std::vector<ConnectionPtr> Held() const {
    std::vector<ConnectionPtr> held;
    for (const auto& [id, connection] : connections_) {
      if (connection->held) {
        held.push_back(connection);
      }
    }
    return held;
  }

  void Tick() {
    const int64_t now_ns = NowNs();
    lobby_.Tick(now_ns);
    for (const ConnectionPtr& connection : Held()) {
      if (now_ns >= connection->pong_ns) {
        connection->pong_ns = now_ns + kPongNs;
        Pong(connection->peer, Header());
      }
    }
  }

  int TimeoutMs() const {
    int64_t next_ns = lobby_.Deadline();
    for (const auto& [id, connection] : connections_) {
      if (connection->held) {
        next_ns = std::min(next_ns, connection->pong_ns);
      }
    }
    if (next_ns == std::numeric_limits<int64_t>::max()) {
      return -1;
    }
    return static_cast<int>(std::max<int64_t>((next_ns - NowNs() + kMs - 1) / kMs, 0));
  }

  void WatchAgain(const Connection& connection) const {
    poller_.Change(connection.fd, connection.id,
                   (connection.held ? 0U : uint32_t{EPOLLIN}) |
                       (connection.unwritten ? uint32_t{EPOLLOUT} : 0U));
  }

  const EndpointOptions options_;
  Handler* const handler_;
  std::atomic<uint64_t> next_id_{kFirstId};

  Peers peers_;
  Mailbox mailbox_;

  // Of the endpoint's thread.
  Poller poller_;
  Lobby lobby_;
  std::unordered_map<uint64_t, ConnectionPtr> connections_;

  std::thread thread_;
};

Endpoint::Endpoint(EndpointOptions options, Handler* handler)
    : impl_(std::make_unique<Impl>(std::move(options), handler)) {}

Endpoint::~Endpoint() = default;

uint16_t Endpoint::port() const { return impl_->port(); }

void Endpoint::Connect(int peer, const std::string& host, uint16_t port, int timeout_ms) {
  impl_->Connect(peer, host, port, timeout_ms);
}

bool Endpoint::WaitFor(int peer, int timeout_ms) { return impl_->WaitFor(peer, timeout_ms); }

void Endpoint::Send(int peer, const Header& header, Payload payload) {
  if (payload.data != nullptr && !PartInside(payload)) {
    throw std::invalid_argument("the part to send is not inside its array");
  }
  impl_->Send(peer, header, std::move(payload));
}

void Endpoint::SendText(int peer, const Header& header, const std::string& text) {
  impl_->Send(peer, header, OwnBytes(text.substr(0, kMaxText)));
}

void Endpoint::Resume() { impl_->Resume(); }

void Endpoint::Close(int peer) { impl_->Close(peer); }

int64_t Endpoint::HeardNs(int peer) const { return impl_->HeardNs(peer); }

uint64_t Endpoint::Queued(int peer) const { return impl_->Queued(peer); }

}  // namespace lcp_tvm::transport
