// A node that runs a program: messages and results in, tasks and messages out.
//
// One mutex guards everything here. Three kinds of threads take it: the endpoint's, which brings
// messages; the compute threads, which let go of it while they call functions; the alarm's, for
// whatever is due at some time. What a turn brings about is settled before the mutex is let go:
// messages to this node, frames that ended, an idle thread's search for work.
#ifndef LCP_TVM_WORKER_ENGINE_H_
#define LCP_TVM_WORKER_ENGINE_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "alarm.h"
#include "compute.h"
#include "core.h"
#include "dealer.h"
#include "frame_table.h"
#include "functions.h"
#include "heartbeat.h"
#include "inbox.h"
#include "pool.h"
#include "stats.h"
#include "steal_queue.h"
#include "thief.h"
#include "transport/endpoint.h"

namespace lcp_tvm::worker {

struct EngineOptions {
  int cores = 0;
  std::string host;
  std::string version;
  int64_t silence_ms = 3000;
};

/*! \brief Where a peer listens. */
struct PeerAddress {
  int node = 0;
  std::string host;
  uint16_t port = 0;
};

class Engine final : public transport::Handler, public Core {
 public:
  /*! \brief `functions` outlives this. Throws ffi errors, std::system_error. */
  Engine(Program program, EngineOptions options, Functions* functions,
         std::shared_ptr<MemoryBudget> budget);
  ~Engine() override;

  const Program& program() const { return program_; }
  uint16_t port() const { return endpoint_->port(); }

  /*! \brief Connect to peers, or wait until those of higher numbers have. Blocks; throws. */
  void Connect(const std::vector<PeerAddress>& peers, int timeout_ms);
  void AddRoute(const std::string& json);
  /*! \brief Keep inputs that frames may begin with; of each, a copy. */
  void Keep(const std::string& name, const std::vector<const DLTensor*>& inputs);

  // The client's part.
  void Begin(uint64_t frame, uint32_t route, const std::string& name,
             const std::vector<tvm::ffi::Tensor>& inputs);
  void End(uint64_t frame);
  std::optional<Event> Next(int timeout_ms) {
    return inbox_.Pop(std::chrono::milliseconds(timeout_ms));
  }

  std::vector<int> Silent();

  std::string TakeStats();

  // What the endpoint brings.
  transport::Place Receive(int peer, const transport::Header& header) override;
  void Received(int peer, const transport::Header& header, transport::Place place,
                const transport::Passage& passage) override;
  void Sent(int peer, const transport::Header& header, const transport::Passage& passage) override;
  void Lost(int peer, const std::string& why) override;

  // What the parts ask.
  void Tell(int node, const transport::Header& note) override;
  void SendRegion(int node, uint64_t frame, uint32_t route, int producer, uint32_t word,
                  const BlockRef& block, const Box& part) override;
  void Submit(Job job) override;
  int IdleThreads() const override;
  void Fail(uint64_t frame, const std::string& reason) override;

 private:
  /*! \brief Takes the mutex, and settles what has come of it before it lets go. */
  class Turn {
   public:
    explicit Turn(Engine* engine) : engine_(*engine), lock_(engine->mutex_) {}
    ~Turn() { engine_.Settle(&lock_); }

   private:
    Engine& engine_;
    std::unique_lock<std::mutex> lock_;
  };
  /*! \brief A message to this node itself. */
  struct Letter {
    transport::Header header;
    BlockRef block;
  };
  /*! \brief A frame that is to end, and why it failed, if it did. */
  struct Ending {
    uint64_t frame;
    std::string reason;
  };

  bool IsClient() const { return program_.node == program_.client; }
  /*! \brief Whether all functions are there that a route may want here; the most a call takes. */
  uint64_t CheckFunctions(const Route& route) const;
  const RoutePlan* FindRoute(uint32_t id) const;
  /*! \brief Whether nothing more of a frame is wanted; the client knows all that have begun. */
  bool IsOver(uint64_t frame) const;
  /*! \brief The frame of a message, which may be its first; nullptr: there can be none. */
  FrameState* FrameOf(const transport::Header& header);

  // engine_receive.cc: what is due, and where it goes.
  transport::Place ReceiveElements(int peer, const transport::Header& header);
  std::string DutyProblem(int peer, const transport::Header& header) const;
  std::string InputProblem(int peer, const transport::Header& header, const RoutePlan& plan) const;
  std::string RegionProblem(int peer, const transport::Header& header, const RoutePlan& route,
                            bool* is_wanted) const;
  bool MakeRoom(uint64_t bytes, uint64_t leave, Charge* charge);
  bool MayWait(uint64_t bytes, bool has_older) const;
  /*! \brief Whether an older frame has something to do here, after which it holds less. */
  bool HasOlder(uint64_t frame) const;
  std::string Shortage(uint64_t bytes) const;

  // engine_handle.cc: what messages bring about.
  void Handle(int peer, const transport::Header& header, const BlockRef& block,
              const std::string& text);
  void HandleForFrame(int peer, const transport::Header& header, const BlockRef& block,
                      const std::string& text, FrameState* frame);
  void TakeRegion(int peer, const transport::Header& header, const BlockRef& block,
                  FrameState* frame);
  void TakeInput(const BlockRef& block, FrameState* frame);
  void BeginKept(const std::string& name, FrameState* frame);
  void HandOut(FrameState* frame);
  void Spread(const Supply& supply, const BlockRef& block, FrameState* frame);
  void StartReadless(FrameState* frame);
  void Start(int task, FrameState* frame);
  void Complete(Job job, Outcome outcome);
  void GiveToPool(const Job& job, const std::vector<BlockRef>& results, FrameState* frame);
  void SendInput(int node, const FrameState& frame, const BlockRef& block);
  /*! \brief Send the header's box of a block to a peer. */
  void Post(int node, const transport::Header& header, const BlockRef& block);

  void Settle(std::unique_lock<std::mutex>* lock);
  void EndFrame(uint64_t frame);
  void EndEverywhere(uint64_t frame);
  void Conclude(const Ending& ending);
  void PeerLost(int peer, const std::string& why);
  void Work(int thread);
  bool PickJob(Job* job);
  void Tick();

  const Program program_;
  const EngineOptions options_;
  Functions* functions_;
  std::shared_ptr<MemoryBudget> budget_;
  Compute compute_;
  Inbox inbox_;

  mutable std::mutex mutex_;
  std::condition_variable work_;
  /*! \brief Nothing is brought about any more; messages that still come go nowhere. */
  bool stopping_ = false;
  /*! \brief The client is lost; another comes with a program of its own. */
  bool is_client_gone_ = false;
  std::map<uint32_t, RoutePlan> routes_;
  std::map<std::string, std::vector<BlockRef>> kept_;
  FrameTable frames_;
  std::map<std::pair<uint64_t, int>, Job> ready_;
  int running_ = 0;
  int to_wake_ = 0;
  std::deque<Letter> letters_;
  std::deque<Ending> endings_;
  StealQueue queue_;
  Ring ring_;
  Pool pool_;
  Thief thief_;
  Dealer dealer_;
  Stats stats_;
  Heartbeat heartbeat_;
  /*! \brief Somebody waits for memory: the alarm rings when some is freed. */
  std::atomic<bool> starving_{false};
  /*! \brief The most that a call here takes; data of newer frames leaves room for it. */
  uint64_t call_bytes_ = 0;
  /*! \brief When something last happened that may have freed memory. */
  int64_t progress_ns_ = 0;

  Alarm alarm_;
  std::unique_ptr<transport::Endpoint> endpoint_;
  std::vector<std::thread> threads_;
};

}  // namespace lcp_tvm::worker
#endif  // LCP_TVM_WORKER_ENGINE_H_
