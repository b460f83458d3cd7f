// Messages out of a stream of bytes: the receiving side of a connection, without its socket.
//
//     head -> ask the sink -> payload -> the sink has it -> head ...
//               |    ^
//               v    | Retry
//             waiting
//
// Payloads are read straight into their place. What follows them, and heads, go through a small
// buffer, so that many small messages come with one system call.
#ifndef LCP_TVM_TRANSPORT_READER_H_
#define LCP_TVM_TRANSPORT_READER_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "handler.h"

namespace lcp_tvm::transport {

/*! \brief Takes the messages of one connection; as `Handler`, for a single peer. */
class Sink {
 public:
  virtual ~Sink() = default;
  virtual Place Receive(const Header& header) = 0;
  virtual void Received(const Header& header, Place place, const Passage& passage) = 0;
};

class Reader {
 public:
  /*! \brief kBroken: a rule was broken, see `why`; nothing more may be called. */
  enum class State { kReading, kWaiting, kBroken };

  /*! \brief `sink` outlives the reader. All messages are to be of this run. */
  Reader(uint64_t run, Sink* sink);

  /*!
   * \brief Where the next bytes go, in order; at least one byte. Only when reading.
   * Returns how many of `parts` are used.
   */
  int Space(iovec (*parts)[2]);
  /*! \brief So many bytes have come there, at this time. */
  State Took(size_t bytes, int64_t now_ns);
  /*! \brief Ask the sink again. Only when waiting. */
  State Retry(int64_t now_ns);

  const std::string& why() const { return why_; }
  /*! \brief Whether a message has begun and not ended. */
  bool InMessage() const;

 private:
  enum class Phase { kHead, kAsk, kPayload, kDrop };

  State Parse(int64_t now_ns);
  bool ParseHead(int64_t now_ns);
  State Ask();
  bool TakePayload(int64_t now_ns);
  bool DropPayload();

  uint64_t run_;
  Sink* sink_;
  Phase phase_ = Phase::kHead;
  /*! \brief Bytes [begin_, end_) of the buffer have come and are not used yet. */
  std::unique_ptr<uint8_t[]> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  Header header_;
  size_t head_bytes_ = 0;
  Place place_;
  /*! \brief Bytes of the payload that have come. */
  uint64_t filled_ = 0;
  int64_t begin_ns_ = 0;
  std::string why_;
};

}  // namespace lcp_tvm::transport
#endif  // LCP_TVM_TRANSPORT_READER_H_
