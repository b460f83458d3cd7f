// What a client and a server of TVM RPC say before a session (tvm/rpc/base.py).
//
// A client sends a magic number, the length of its key and the key, "client:" and perhaps the key
// of an offer at a tracker and options; the server answers with a code and, to one that it takes,
// its own key in the same form. Integers are 32 bits, little endian. Pure: bytes in, facts out.
#ifndef LCP_TVM_AGENT_HANDSHAKE_H_
#define LCP_TVM_AGENT_HANDSHAKE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lcp_tvm::agent {

constexpr uint32_t kRpcMagic = 0xFF271;
constexpr size_t kMaxKey = 1024;

enum class Reply : uint32_t {
  kWelcome = kRpcMagic,
  kBusy = kRpcMagic + 1,
  kWrongKey = kRpcMagic + 2,
};

/*! \brief What is known of a client from the bytes that have come. */
struct Greeting {
  /*! \brief Bytes that are still wanted, at least; 0: all are there, or they are wrong. */
  size_t missing = 0;
  /*! \brief What is wrong with them; empty: nothing. */
  std::string_view wrong;
  /*! \brief The first word of its key, without "client:". */
  std::string_view key;
};

/*! \brief Read a client's words; the greeting's texts point into `bytes` or are constants. */
Greeting ReadGreeting(std::string_view bytes);

/*! \brief The answer to a client; `name` is the server's, for one that is welcome. */
std::string ReplyBytes(Reply reply, std::string_view name);

/*! \brief An integer as it goes over the wire. */
std::string LittleEndian(uint32_t value);
/*! \brief The integer that 4 bytes stand for. */
uint32_t ReadLittleEndian(std::string_view bytes);

}  // namespace lcp_tvm::agent
#endif  // LCP_TVM_AGENT_HANDSHAKE_H_
