// One connection between two nodes that have greeted each other.
#ifndef LCP_TVM_TRANSPORT_CONNECTION_H_
#define LCP_TVM_TRANSPORT_CONNECTION_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

#include "outbox.h"
#include "reader.h"
#include "socket.h"

namespace lcp_tvm::transport {

/*! \brief Where a connection's messages go. */
class Exchange {
 public:
  virtual ~Exchange() = default;
  /*! \brief Bytes have come. */
  virtual void Heard(int peer, int64_t now_ns) = 0;
  virtual Place Receive(int peer, const Header& header) = 0;
  virtual void Received(int peer, const Header& header, Place place, const Passage& passage) = 0;
  /*! \brief Say PONG to a peer, with the header of its PING. */
  virtual void Pong(int peer, Header header) = 0;
};

class Connection : private Sink {
 public:
  Connection(uint64_t id, int peer, Fd socket, uint64_t run, Exchange* exchange)
      : id(id), peer(peer), fd(std::move(socket)), exchange_(exchange), reader_(run, this) {}

  /*!
   * \brief Read what has come, for one turn, and hand it on. kWaiting: until `Retry`. kBroken: it
   * has ended, or broken a rule, and is to be closed; see `why`.
   */
  Reader::State ReadTurn();
  Reader::State Retry();
  const std::string& why() const { return why_; }

  /*! \brief Stop all traffic; any thread. True the first time. */
  bool End();
  bool ended() const { return ended_; }

  const uint64_t id;
  const int peer;
  /*! \brief Closed with the last owner, so that no thread writes to somebody else's. */
  const Fd fd;
  Outbox outbox;

  // Of the endpoint's thread.
  /*! \brief The reader waits; when to say the next PONG. */
  bool held = false;
  int64_t pong_ns = 0;
  /*! \brief The outbox's token is here, until the socket takes more. */
  bool unwritten = false;

 private:
  Place Receive(const Header& header) override;
  void Received(const Header& header, Place place, const Passage& passage) override;

  Reader::State Judge(Reader::State state);

  Exchange* exchange_;
  Reader reader_;
  std::string why_;
  std::atomic<bool> ended_{false};
};

}  // namespace lcp_tvm::transport
#endif  // LCP_TVM_TRANSPORT_CONNECTION_H_
