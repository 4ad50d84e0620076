#include "daemons/trainer/ring_exchange.hpp"

#include <algorithm>
#include <thread>

#include "common/base/check.hpp"
#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "daemons/trainer/flat.hpp"

namespace trainyard::trainer {

namespace {

constexpr std::uint64_t buckets_max = 1024;
constexpr Duration look_every = 20ms;

/// What all ranks have to know of a step, as floats that are summed with the gradients: the number of samples
/// in digits whose sums stay exact, and the ending, which rank 0 alone gives.
constexpr std::uint32_t digit_bits = 12, digits = 3;
constexpr std::size_t control_floats = digits + 1;
constexpr std::uint32_t ranks_max = 1 << (24 - digit_bits);

void write_control(std::vector<float>& control, const Push& push, bool chief) {
  for (std::uint32_t i = 0; i < digits; ++i)
    control[i] = static_cast<float>((push.samples >> (i * digit_bits)) & ((1u << digit_bits) - 1));
  control[digits] = chief ? static_cast<float>(push.marks.ending) : 0.0f;
}

std::uint64_t samples_of(const std::vector<float>& control) {
  std::uint64_t samples = 0;
  for (std::uint32_t i = 0; i < digits; ++i)
    samples += static_cast<std::uint64_t>(control[i]) << (i * digit_bits);
  return samples;
}

/// Where a life begins.
struct Beginning {
  std::uint64_t step = 0, restored = 0;
  friend bool operator==(const Beginning&, const Beginning&) = default;
};

}  // namespace

Result<std::unique_ptr<RingExchange>> RingExchange::connect(const config::TrainSection& train,
                                                            std::vector<optim::TensorSize> tensors,
                                                            std::uint64_t steps_per_epoch, Settings settings,
                                                            collective::Listener& listener,
                                                            const std::atomic<bool>& cancelled) {
  for (const optim::TensorSize& tensor : tensors) check(tensor.row == 0, "gradients are summed in full");
  if (settings.ring.endpoints.size() > ranks_max)
    return Error{Errc::invalid, format("cluster.trainers: all_reduce takes at most {}", ranks_max)};
  settings.ring.cancelled = &cancelled;
  auto group = collective::connect_ring(settings.ring, listener);
  if (!group && cancelled) return cancelled_error();
  if (!group) return group.error().with("all_reduce");
  return std::unique_ptr<RingExchange>(
      new RingExchange(train, std::move(tensors), steps_per_epoch, settings, std::move(*group), cancelled));
}

RingExchange::RingExchange(const config::TrainSection& train, std::vector<optim::TensorSize> tensors,
                           std::uint64_t steps_per_epoch, const Settings& settings,
                           std::unique_ptr<collective::Group> group, const std::atomic<bool>& cancelled)
    : LocalExchange(train, std::move(tensors), steps_per_epoch),
      cancelled_(cancelled),
      stop_patience_(settings.stop_patience),
      control_(control_floats),
      group_(std::move(group)) {
  share_out(settings.bucket_bytes);
}

/// From the end to the beginning, as backward passes go. The same on every rank, whatever its batches are.
void RingExchange::share_out(std::uint64_t bucket_bytes) {
  std::uint64_t at = 0;
  for (const optim::Slice& slice : slices_) at += slice.length;
  sums_.resize(at);
  const std::uint64_t floats_max = std::max(bucket_bytes / sizeof(float), at / buckets_max + 1);
  buckets_.emplace_back();
  for (auto slice = slices_.rbegin(); slice != slices_.rend(); ++slice) {
    if (buckets_.back().floats > 0 && buckets_.back().floats + slice->length > floats_max)
      buckets_.emplace_back();
    Bucket& bucket = buckets_.back();
    at -= slice->length;
    bucket.floats += slice->length;
    const bool joins = !bucket.parts.empty() && bucket.parts.back().offset == slice->offset + slice->length;
    if (joins)
      bucket.parts.back() = {slice->offset, bucket.parts.back().length + slice->length, at};
    else
      bucket.parts.push_back({slice->offset, slice->length, at});
  }
}

Result<std::uint64_t> RingExchange::begin(std::span<float> values) {
  const Beginning own{table_ ? table_->step() : 0, table_ ? std::uint64_t{1} : 0};
  Beginning first = own;
  Status done = group_->broadcast(std::as_writable_bytes(std::span(&first, 1)), 0);
  if (!done) return lost(done.error());
  if (first != own) {
    const Error error{Errc::corrupt, format("all_reduce: this trainer is at step {}, trainer-0 at step {}",
                                            own.step, first.step)};
    group_->abort(error.message);
    return error;
  }
  if (!table_) {
    std::vector<float> given;
    gather(slices_, values, given);
    done = group_->broadcast(std::as_writable_bytes(std::span(given)), 0);
    if (!done) return lost(done.error());
    scatter(slices_, given, values);
  }
  return LocalExchange::begin(values);
}

void RingExchange::expect(std::span<const float> gradients, std::span<const float> earlier) {
  check(next_ == 0, "a step has one last pass");
  check(earlier.empty() || earlier.size() == gradients.size(), "batches of a step have the same gradients");
  gradients_ = gradients;
  earlier_ = earlier;
  for (Bucket& bucket : buckets_) bucket.waiting = bucket.floats;
}

void RingExchange::ready(std::uint64_t offset, std::uint64_t length) {
  for (std::size_t i = next_; i < buckets_.size(); ++i) {
    for (const Part& part : buckets_[i].parts) {
      const std::uint64_t begin = std::max(offset, part.offset);
      const std::uint64_t end = std::min(offset + length, part.offset + part.length);
      if (begin < end) buckets_[i].waiting -= end - begin;
    }
  }
  // The last one waits for what only step() knows.
  for (; next_ + 1 < buckets_.size() && buckets_[next_].waiting == 0; ++next_) submit_early(buckets_[next_]);
}

void RingExchange::submit_early(const Bucket& bucket) {
  if (earlier_.empty()) {
    group_->submit(pieces_of(bucket, gradients_));
    return;
  }
  std::vector<collective::Piece> pieces;
  for (const Part& part : bucket.parts) {
    const float* const before = earlier_.data() + part.offset;
    const float* const last = gradients_.data() + part.offset;
    float* const to = sums_.data() + part.at;
    for (std::uint64_t i = 0; i < part.length; ++i) to[i] = before[i] + last[i];
    pieces.push_back(collective::piece_of(std::span(to, part.length)));
  }
  group_->submit(std::move(pieces));
}

std::vector<collective::Piece> RingExchange::pieces_of(const Bucket& bucket,
                                                       std::span<const float> gradients) {
  std::vector<collective::Piece> pieces;
  for (const Part& part : bucket.parts)
    pieces.push_back(collective::piece_of(gradients.subspan(part.offset, part.length),
                                          std::span(sums_).subspan(part.at, part.length)));
  return pieces;
}

Result<Stepped> RingExchange::step(const Push& push, std::span<float> values) {
  check(push.step == table_->step() + 1, "steps come one after the other");
  check(push.rows.empty(), "gradients are summed in full");
  check(push.samples > 0 || next_ == 0, "what left belongs to samples");
  write_control(control_, push, group_->rank() == 0);
  Status done;
  for (; next_ < buckets_.size(); ++next_) {
    const Bucket& bucket = buckets_[next_];
    std::vector<collective::Piece> pieces;
    if (push.samples > 0) {
      pieces = pieces_of(bucket, push.gradients);
    } else {
      for (const Part& part : bucket.parts) {
        const auto zeros = std::span(sums_).subspan(part.at, part.length);
        std::fill(zeros.begin(), zeros.end(), 0.0f);
        pieces.push_back(collective::piece_of(zeros));
      }
    }
    if (next_ + 1 < buckets_.size()) {
      group_->submit(std::move(pieces));
      continue;
    }
    pieces.push_back(collective::piece_of(control_));
    done = group_->finish(std::move(pieces));
  }
  next_ = 0;
  if (!done) return lost(done.error());
  const std::uint64_t samples = samples_of(control_);
  check(samples <= ~std::uint32_t{0}, "a step's samples can be counted");
  const optim::Contribution all{static_cast<std::uint32_t>(samples), sums_, {}};
  table_->apply(std::span(&all, 1));
  scatter(slices_, *table_->values(), values);
  return Stepped{static_cast<protocol::Ending>(static_cast<int>(control_[digits])), push.step, 0};
}

Error RingExchange::lost(const Error& error) const {
  if (!cancelled_) log::warn("all_reduce: {}; waits to be stopped with the gang", error.message);
  const Time until = std::chrono::steady_clock::now() + stop_patience_;
  while (!cancelled_ && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(look_every);
  return cancelled_ ? cancelled_error() : error.with("all_reduce");
}

}  // namespace trainyard::trainer
