// The plan as a node knows it (docs/runtime.md, "Program"): numbers in place of names.
//
// Everything in it has been checked against the rest: indices exist, boxes lie in their tensors,
// pieces in their reads and in what their producers write, and producers come before consumers.
#ifndef LCP_TVM_WORKER_PROGRAM_H_
#define LCP_TVM_WORKER_PROGRAM_H_

#include <tvm/ffi/dtype.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "box.h"

namespace lcp_tvm::worker {

/*! \brief Stands for the frame among producers: it writes the inputs. */
constexpr int kFrame = -1;
/*! \brief The place of a task that whoever is free takes. */
constexpr int kAnywhere = -1;

struct TensorFacts {
  DLDataType dtype;
  uint32_t item_bytes = 1;
  Box box;
};

/*! \brief What one producer writes of a read. */
struct Piece {
  int producer = kFrame;
  /*! \brief Which of its writes, or which input of the frame, holds the piece. */
  uint32_t write = 0;
  Box box;
};

/*! \brief An argument, or an output of the plan. The pieces make it up. */
struct Read {
  uint32_t tensor = 0;
  Box box;
  std::vector<Piece> pieces;
};

struct Write {
  uint32_t tensor = 0;
  Box box;
};

/*! \brief A way to compute a task: its own, or its fallback. */
struct Way {
  uint32_t function = 0;
  std::vector<Read> reads;
};

struct Task {
  std::string name;
  Way own;
  std::optional<Way> fallback;
  /*! \brief So many of the reads suffice; -1: all are needed, and no vector says which came. */
  int needs = -1;
  std::vector<Write> writes;

  const Way& way(bool is_fallback) const { return is_fallback && fallback ? *fallback : own; }
};

struct FunctionFacts {
  std::string name;
  /*! \brief Arguments, results and what lies between, at the worst moment. */
  uint64_t peak_bytes = 0;
};

struct Program {
  uint64_t run = 0;
  int node = 0;
  std::vector<std::string> nodes;
  int gateway = 0;
  int client = 0;
  std::vector<TensorFacts> tensors;
  std::vector<uint32_t> inputs;
  std::vector<FunctionFacts> functions;
  std::vector<Task> tasks;
  /*! \brief The plan's outputs. */
  std::vector<Read> collect;
  /*! \brief By function, what a call takes on the board that this node plays; empty: no board. */
  std::vector<double> pace_ms;
  int64_t poll_ms = 100;
  int64_t patience_ms = 0;
  bool trace = false;

  int outputs() const { return static_cast<int>(tasks.size()); }
  uint64_t Bytes(uint32_t tensor, const Box& box) const {
    return box.Size() * tensors[tensor].item_bytes;
  }
};

/*! \brief Read a program; throws an ffi error that says what is wrong with it. */
Program ReadProgram(const std::string& text);

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_PROGRAM_H_
