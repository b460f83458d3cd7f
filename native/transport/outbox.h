// Messages on their way out of one connection: the sending side.
//
// Who finds the outbox idle writes, whichever thread that is, so that a small message leaves
// without waiting for another thread. The right to write is one token: while somebody has it,
// others only queue. When the socket takes no more now, the token goes to the endpoint's thread.
#ifndef LCP_TVM_TRANSPORT_OUTBOX_H_
#define LCP_TVM_TRANSPORT_OUTBOX_H_

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "handler.h"

namespace lcp_tvm::transport {

/*! \brief A message, and how much of it has left. */
struct Message {
  Header header;
  Payload payload;
  /*! \brief Whether the handler hears of its end. */
  bool told = true;
  std::array<uint8_t, kMaxHeadBytes> head{};
  size_t head_bytes = 0;
  uint64_t bytes = 0;
  uint64_t sent = 0;
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
};

/*! \brief A message that is ready to be queued. */
Message MakeMessage(Header header, Payload payload);

/*! \brief A payload of some bytes of its own. */
Payload OwnBytes(std::string bytes);

class Outbox {
 public:
  /*! \brief Bytes that are written, or read, on one connection before others have their turn. */
  static constexpr uint64_t kTurnBytes = uint64_t{1} << 20;

  /*! \brief Queue a message. True: the caller has the token and must call `Write`. */
  bool Push(Message message);

  /*!
   * \brief With the token: write for one turn; adds to `left` the messages that have left whole.
   * True: all is written and the token given back. False: the caller keeps the token, and writes
   * again when the socket is ready; never, if the connection is broken, as reading will show.
   */
  bool Write(int fd, std::vector<Message>* left);

  /*! \brief Bytes that wait. */
  uint64_t Queued() const;

 private:
  /*! \brief Write more of the first message; -1 with errno. */
  ssize_t WriteSome(int fd, Message* message, bool last, uint64_t budget);

  mutable std::mutex mutex_;
  /*! \brief Only who has the token touches the first; pushing moves no element. */
  std::deque<Message> queue_;
  uint64_t queued_bytes_ = 0;
  bool writing_ = false;
  /*! \brief With the token: short runs are copied here, as many parts cost more than a copy. */
  std::vector<uint8_t> packed_;
};

}  // namespace lcp_tvm::transport
#endif  // LCP_TVM_TRANSPORT_OUTBOX_H_
