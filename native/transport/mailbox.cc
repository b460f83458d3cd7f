#include "mailbox.h"

#include <sys/eventfd.h>

#include <cerrno>
#include <system_error>

namespace lcp_tvm::transport {

Mailbox::Mailbox() : wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (!wake_) {
    throw std::system_error(errno, std::generic_category(), "opening an endpoint");
  }
}

bool Mailbox::Sleep() {
  const std::lock_guard<std::mutex> lock(mutex_);
  asleep_ = !waits_;
  return asleep_;
}

Mail Mailbox::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  waits_ = false;
  asleep_ = false;
  return std::exchange(mail_, Mail());
}

void Mailbox::Hush() const {
  eventfd_t wakes = 0;
  eventfd_read(wake_.get(), &wakes);
}

void Mailbox::Wake() const { eventfd_write(wake_.get(), 1); }

}  // namespace lcp_tvm::transport
