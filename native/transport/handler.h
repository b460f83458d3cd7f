// What passes between an endpoint and the node that it serves: messages out, messages in.
#ifndef LCP_TVM_TRANSPORT_HANDLER_H_
#define LCP_TVM_TRANSPORT_HANDLER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "frame.h"

namespace lcp_tvm::transport {

/*! \brief Elements to send: a box of a contiguous array, and what keeps the array alive. */
struct Payload {
  const uint8_t* data = nullptr;
  uint32_t item_bytes = 1;
  /*! \brief What the array holds: its own box in the tensor. */
  Box array;
  /*! \brief What to send of it; inside `array`. */
  Box part;
  std::shared_ptr<const void> keep;
};

/*! \brief Where a payload goes, and what keeps that place alive; 64-byte aligned for tensors. */
struct Place {
  enum class Verdict { kTake, kWait, kDrop, kClose };
  Verdict verdict = Verdict::kClose;
  uint8_t* data = nullptr;
  std::shared_ptr<void> keep;
  /*! \brief For kClose: the rule that the message broke. */
  std::string why;
};

/*! \brief Facts of a message that has come or gone, for statistics. Times in ns, steady clock. */
struct Passage {
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
  uint64_t bytes = 0;
};

/*!
 * \brief What a node makes of messages. Called from the endpoint's thread, one at a time, without
 * any lock of the endpoint: it may call the endpoint, but not end it. It must not throw.
 */
class Handler {
 public:
  virtual ~Handler() = default;
  /*!
   * \brief A message's header has come, of any kind but HELLO, WELCOME, REFUSED, PING: where does
   * its payload go? Asked of messages without one too, whose place has no data. kWait: nothing more
   * is read from this peer, and it is asked again after `Resume`. kDrop: the payload is read and
   * forgotten, without `Received`. kClose: `Lost` follows, with `why`.
   */
  virtual Place Receive(int peer, const Header& header) = 0;
  /*!
   * \brief All of a message has come; `place` is what `Receive` said, and nobody else keeps it: the
   * handler decides when it is let go.
   */
  virtual void Received(int peer, const Header& header, Place place, const Passage& passage) = 0;
  /*! \brief The last byte of a message has left; its payload's `keep` is let go after this. */
  virtual void Sent(int peer, const Header& header, const Passage& passage) = 0;
  /*! \brief A peer's connection is gone. Not called for those that `Close` ends. */
  virtual void Lost(int peer, const std::string& why) = 0;
};

}  // namespace lcp_tvm::transport
#endif  // LCP_TVM_TRANSPORT_HANDLER_H_
