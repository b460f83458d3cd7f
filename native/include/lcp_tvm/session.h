// What the agent calls in the native library, which it loads by dlopen: plain C, so that neither
// exceptions nor a C++ library's types pass between them.
#ifndef LCP_TVM_SESSION_H_
#define LCP_TVM_SESSION_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LCP_MAX_CONFIG_NAME 256

/*!
 * \brief Make this process a board with a VTA config.
 * \param json The config; its name is the key NAME, or else what `name` holds.
 * \param name Room for LCP_MAX_CONFIG_NAME bytes: the name, terminated.
 * \return NULL, or what is wrong; it stays valid.
 */
const char* LcpSetBoard(const char* json, char* name);

/*!
 * \brief Let the sessions of this process run programs on the board's accelerator, which is opened
 *        by the first program.
 * \param options As of `lcp_tvm.board.Open`.
 * \return NULL, or what is wrong; it stays valid.
 */
const char* LcpUseBoard(const char* options);

/*!
 * \brief What the board has and lacks, as of `lcp_tvm.board.Probe`.
 * \param facts The answer; it stays valid.
 * \return NULL, or what is wrong; it stays valid.
 */
const char* LcpProbe(const char* options, const char* config, const char* self_test,
                     const char** facts);

/*! \brief What a session has of its worker; all texts are UTF-8. */
struct LcpSession {
  int connection;         // TCP, handshake done
  const char* folder;     // for uploads; made when needed
  const char* files;      // of the node, kept between sessions
  const char* config;     // name of the VTA config, "none" without one
  const char* host;       // where the node listens for its peers
  int32_t cores;          // compute threads
  uint64_t memory_bytes;  // limit of the node, 0 for none
};

/*!
 * \brief Serve TVM RPC until the client leaves.
 * \return NULL, or what went wrong; it stays valid.
 */
const char* LcpServeSession(const struct LcpSession* session);

#ifdef __cplusplus
}
#endif
#endif  // LCP_TVM_SESSION_H_
