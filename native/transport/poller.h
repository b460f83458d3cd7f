// epoll, level-triggered, with a number for each descriptor.
#ifndef LCP_TVM_TRANSPORT_POLLER_H_
#define LCP_TVM_TRANSPORT_POLLER_H_

#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <system_error>

#include "socket.h"

namespace lcp_tvm::transport {

class Poller {
 public:
  Poller() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (!epoll_) {
      throw std::system_error(errno, std::generic_category(), "opening an endpoint");
    }
  }

  void Add(const Fd& fd, uint64_t id) const { Control(EPOLL_CTL_ADD, fd, id, EPOLLIN); }
  /*! \brief What to tell of besides errors: EPOLLIN, EPOLLOUT. */
  void Change(const Fd& fd, uint64_t id, uint32_t events) const {
    Control(EPOLL_CTL_MOD, fd, id, events);
  }
  void Remove(const Fd& fd) const { Control(EPOLL_CTL_DEL, fd, 0, 0); }

  /*! \brief Wait for at most `timeout_ms`, or for ever if that is -1; calls `serve(id, events)`. */
  template <typename Serve>
  void Wait(int timeout_ms, Serve serve) {
    const int count = epoll_wait(epoll_.get(), events_.data(), kMaxEvents, timeout_ms);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events_[static_cast<size_t>(i)];
      serve(event.data.u64, event.events);
    }
  }

 private:
  static constexpr int kMaxEvents = 64;

  void Control(int operation, const Fd& fd, uint64_t id, uint32_t events) const {
    epoll_event event{};
    event.events = events;
    event.data.u64 = id;
    epoll_ctl(epoll_.get(), operation, fd.get(), &event);
  }

  Fd epoll_;
  std::array<epoll_event, kMaxEvents> events_{};
};

}  // namespace lcp_tvm::transport
#endif  // LCP_TVM_TRANSPORT_POLLER_H_
