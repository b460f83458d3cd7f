#include "dealer.h"

#include <algorithm>
#include <utility>

namespace lcp_tvm::worker {

namespace {

/*! \brief Remove the parcels of which something holds. */
template <typename Holds>
void Drop(std::deque<Dealer::Parcel>* parcels, Holds holds) {
  parcels->erase(std::remove_if(parcels->begin(), parcels->end(), holds), parcels->end());
}

}  // namespace

void Dealer::Send(Parcel parcel) {
  waiting_.push_back(std::move(parcel));
  PostNext();
}

void Dealer::Sent(int peer, const transport::Header& header) {
  const bool is_region = header.kind == transport::Kind::kRegion;
  if (is_region && leaving_ && leaving_->node == peer && leaving_->frame == header.frame) {
    leaving_.reset();
    PostNext();
  }
}

void Dealer::Lost(int peer) {
  Drop(&waiting_, [peer](const Parcel& parcel) { return parcel.node == peer; });
  if (leaving_ && leaving_->node == peer) {
    leaving_.reset();
    PostNext();
  }
}

void Dealer::End(uint64_t frame) {
  Drop(&waiting_, [frame](const Parcel& parcel) { return parcel.header.frame == frame; });
  if (leaving_ && leaving_->frame == frame) {
    leaving_.reset();
    PostNext();
  }
}

void Dealer::PostNext() {
  if (leaving_ || waiting_.empty()) {
    return;
  }
  const Parcel parcel = std::move(waiting_.front());
  waiting_.pop_front();
  leaving_ = Leaving{parcel.node, parcel.header.frame};
  post_(parcel);
}

}  // namespace lcp_tvm::worker
