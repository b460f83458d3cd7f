#include <algorithm>
#include <map>
#include <utility>

#include "route.h"

namespace lcp_tvm::worker {

namespace {

size_t KeyOf(int producer, uint32_t tensor, const Box& box) {
  return Hash(box) ^ (static_cast<size_t>(producer) * 0x9E3779B1u) ^
         (static_cast<size_t>(tensor) << 7);
}

/*! \brief A region that one producer sends to one node, and its supply there if that is here. */
struct Sent {
  uint32_t tensor;
  Box box;
  int supply;
};

class Wirer {
 public:
  Wirer(const Program& program, const Route& route)
      : program_(program), route_(route), self_(program.node) {}

  Wiring Make() {
    const int frame_place = route_.frame_place(program_);
    wiring_.inputs.assign(program_.inputs.size(), -1);
    for (size_t i = 0; i < program_.inputs.size() && frame_place == self_; ++i) {
      const uint32_t tensor = program_.inputs[i];
      wiring_.inputs[i] = Add({kFrame, tensor, program_.tensors[tensor].box, self_, {}, {}});
    }
    wiring_.results.resize(program_.tasks.size());
    for (int task = 0; task < program_.outputs(); ++task) {
      const int place = route_.places[task];
      if (place != self_ && place != kAnywhere) {
        continue;
      }
      for (const Write& write : program_.tasks[task].writes) {
        wiring_.results[task].push_back(Add({task, write.tensor, write.box, self_, {}, {}}));
      }
    }
    for (int task = 0; task < program_.outputs(); ++task) {
      Connect(task, route_.places[task], program_.tasks[task].own.reads);
    }
    Connect(program_.outputs(), program_.client, program_.collect);
    return std::move(wiring_);
  }

 private:
  void Connect(int task, int there, const std::vector<Read>& reads) {
    if (there == kAnywhere) {
      return;
    }
    if (reads.empty()) {
      WireReadless(task, there);
    }
    for (uint32_t r = 0; r < reads.size(); ++r) {
      for (uint32_t p = 0; p < reads[r].pieces.size(); ++p) {
        const Piece& piece = reads[r].pieces[p];
        const bool is_frame = piece.producer == kFrame;
        const int here = is_frame ? route_.frame_place(program_) : route_.places[piece.producer];
        for (const int supply : Carry(piece, reads[r].tensor, here, there)) {
          wiring_.supplies[supply].uses.push_back({task, r, p});
        }
      }
    }
  }

  void WireReadless(int task, int there) {
    if (there == self_) {
      wiring_.readless.push_back(task);
    } else if (route_.frame_place(program_) == self_ &&
               std::count(wiring_.tell.begin(), wiring_.tell.end(), there) == 0) {
      wiring_.tell.push_back(there);
    }
  }

  /*! \brief Bring a piece from one node to another; its supplies here, if the reader is here. */
  std::vector<int> Carry(const Piece& piece, uint32_t tensor, int here, int there) {
    std::vector<int> supplies;
    const bool may_be_here = here == self_ || here == kAnywhere;
    if (here == there) {
      if (here == self_) {
        supplies.push_back(Origin(piece));
      }
      return supplies;
    }
    if (may_be_here && there == self_) {  // from a task that may run here
      supplies.push_back(Origin(piece));
    }
    const bool is_relayed = route_.policy == Policy::kSharing && here != program_.gateway &&
                            there != program_.gateway && there != program_.client;
    int origin = may_be_here ? Origin(piece) : -1;
    int from = here;
    if (is_relayed) {
      const int collected = Transfer(piece, tensor, here, program_.gateway, origin);
      origin = program_.gateway == self_ ? collected : -1;
      from = program_.gateway;
    }
    const int arrived = Transfer(piece, tensor, from, there, origin);
    if (there == self_) {
      supplies.push_back(arrived);
    }
    return supplies;
  }

  /*!
   * \brief Send a piece to a node unless it is in a region that goes there already.
   * \param origin The supply to send from, if that is here.
   * \return Its supply there, if that is here; else -1.
   */
  int Transfer(const Piece& piece, uint32_t tensor, int from, int there, int origin) {
    std::vector<Sent>& sent = sent_[{piece.producer, there}];
    for (const Sent& region : sent) {
      if (region.tensor == tensor && Contains(region.box, piece.box)) {
        return region.supply;
      }
    }
    if (origin >= 0 && there != self_) {
      wiring_.supplies[origin].sends.push_back({there, piece.box});
    }
    int supply = -1;
    if (there == self_) {
      supply = Add({piece.producer, tensor, piece.box, from, {}, {}});
      wiring_.arrivals.emplace(KeyOf(piece.producer, tensor, piece.box), supply);
    }
    sent.push_back({tensor, piece.box, supply});
    return supply;
  }

  /*! \brief Where a piece is made here: an input of the frame, or a task's result. */
  int Origin(const Piece& piece) const {
    return piece.producer == kFrame ? wiring_.inputs[piece.write]
                                    : wiring_.results[piece.producer][piece.write];
  }

  int Add(Supply supply) {
    wiring_.supplies.push_back(std::move(supply));
    return static_cast<int>(wiring_.supplies.size()) - 1;
  }

  const Program& program_;
  const Route& route_;
  const int self_;
  Wiring wiring_;
  std::map<std::pair<int, int>, std::vector<Sent>> sent_;
};

}  // namespace

const Supply* Wiring::Find(int producer, uint32_t tensor, const Box& box) const {
  const auto [begin, end] = arrivals.equal_range(KeyOf(producer, tensor, box));
  for (auto at = begin; at != end; ++at) {
    const Supply& supply = supplies[at->second];
    if (supply.producer == producer && supply.tensor == tensor && supply.box == box) {
      return &supply;
    }
  }
  return nullptr;
}

Wiring MakeWiring(const Program& program, const Route& route) {
  return Wirer(program, route).Make();
}

}  // namespace lcp_tvm::worker
