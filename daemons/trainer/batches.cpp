// Batches of a training: the next one, what a device hears of the one behind it, and the sum over those of a
// step.
#include <algorithm>
#include <utility>

#include "common/base/check.hpp"
#include "daemons/trainer/training.hpp"

namespace trainyard::trainer {

data::Batch Training::next_batch() {
  auto batch = ahead_ ? std::exchange(ahead_, std::nullopt) : loader_->next();
  check(batch.has_value(), "a batch that is wanted was requested");
  return std::move(*batch);
}

/// A device brings the next batch in beside the work on this one.
void Training::announce_next() {
  ahead_ = loader_->next_if_ready();
  if (!ahead_ || ahead_->count() == 0) return;
  const void* const inputs[] = {ahead_->images.data()};
  network_->stage({ahead_->count(), inputs, ahead_->labels.data(), ahead_->keys, ahead_->step});
}

/// Of the last batch of a step gradients leave while they are made.
graph::Observer* Training::observer_of(const Push& push, std::uint32_t count, bool last) {
  graph::Observer* const other = watch_->observer(count);
  if (!early_ || !last) return other;
  const std::span<const float> earlier = accumulated_;
  ring_->expect(network_->gradients(), push.samples > 0 ? earlier : std::span<const float>());
  return early_->beside(other);
}

/// A step of one batch needs no copy.
void Training::accumulate(Push& push) {
  push.gradients = network_->gradients();
  push.rows = network_->row_gradients();
  if (job_.train.accumulation == 1) return;
  const bool first = push.samples == 0;
  accumulated_.resize(push.gradients.size());
  std::size_t at = 0;
  for (const optim::TensorSize& tensor : tensors_) {
    const auto from = push.gradients.subspan(at, tensor.length);
    float* const to = accumulated_.data() + at;
    at += tensor.length;
    if (tensor.row > 0) continue;
    if (first) std::copy(from.begin(), from.end(), to);
    for (std::size_t i = 0; i < from.size() && !first; ++i) to[i] += from[i];
  }
  accumulated_rows_.resize(push.rows.size());
  row_views_.clear();
  for (std::size_t i = 0; i < push.rows.size(); ++i) {
    if (first) accumulated_rows_[i].clear();
    accumulated_rows_[i].add(push.rows[i]);
    row_views_.push_back(accumulated_rows_[i].view());
  }
  push.gradients = accumulated_;
  push.rows = row_views_;
}

}  // namespace trainyard::trainer
