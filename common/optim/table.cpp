#include "common/optim/table.hpp"

#include <cmath>
#include <utility>

#include "common/base/check.hpp"
#include "common/base/text.hpp"
#include "common/optim/schedule.hpp"

namespace trainyard::optim {

namespace {

// Values that were published and may still be on their way to trainers.
constexpr std::size_t spare_max = 2;

ValueKind kind_of(const Slice& slice) { return static_cast<ValueKind>(slice.kind); }

}  // namespace

Table::Table(const config::TrainSection& train, std::vector<Slice> slices, std::uint64_t steps_per_epoch)
    : train_(train), slices_(std::move(slices)), steps_per_epoch_(steps_per_epoch) {}

Result<Table> Table::make(const config::TrainSection& train, std::vector<Slice> slices,
                          std::uint64_t steps_per_epoch, std::vector<float> values) {
  std::uint64_t left = values.size();
  for (const Slice& slice : slices) {
    if (slice.kind > static_cast<std::uint8_t>(ValueKind::buffer)) {
      return Error{Errc::invalid, format("a slice of unknown kind {}", slice.kind)};
    }
    if (!std::isfinite(slice.rate) || slice.rate < 0 || !std::isfinite(slice.decay) || slice.decay < 0) {
      return Error{Errc::invalid, "a slice whose rate or decay is no number from 0 on"};
    }
    // Subtracting keeps lengths from outside from overflowing a sum.
    if (slice.length > left) return Error{Errc::invalid, "the slices hold more than the values"};
    left -= slice.length;
  }
  if (left != 0) return Error{Errc::invalid, format("{} values belong to no slice", left)};
  if (steps_per_epoch == 0) return Error{Errc::invalid, "an epoch without steps"};
  Table table(train, std::move(slices), steps_per_epoch);
  for (const RuleArray& array : rule_arrays(train.optimizer)) {
    table.arrays_.push_back({array.name, array.place, std::vector<float>(values.size(), array.first)});
  }
  if (train.ema) table.average_ = values;
  table.values_ = std::make_shared<std::vector<float>>(std::move(values));
  return table;
}

double Table::rate(std::uint64_t step) const {
  return learning_rate(train_.schedule, train_.optimizer.learning_rate, step, steps_per_epoch_,
                       steps_per_epoch_ * train_.epochs);
}

Table::Sum Table::sum_of(std::span<const Contribution> contributions) const {
  Sum sum;
  for (const Contribution& contribution : contributions) {
    if (contribution.samples == 0) continue;
    check(contribution.gradients.size() == size(), "a contribution has the table's size");
    sum.samples += contribution.samples;
    sum.parts.push_back(contribution.gradients);
  }
  return sum;
}

/// Memory for new values: earlier ones that nobody else holds any more, since fresh pages cost as much as the
/// update itself.
std::shared_ptr<std::vector<float>> Table::take_spare() {
  for (auto& spare : spare_) {
    if (spare.use_count() != 1) continue;
    // The last holder let go on another thread. Counting up and down once orders its reads before our writes.
    { const auto joined = spare; }
    auto taken = std::move(spare);
    spare = std::move(spare_.back());
    spare_.pop_back();
    return taken;
  }
  if (spare_.size() >= spare_max) spare_.erase(spare_.begin());
  return std::make_shared<std::vector<float>>(size());
}

void Table::apply(std::span<const Contribution> contributions, std::optional<double> norm) {
  if (train_.clip.norm && !norm) norm = norm_of(square_sums(contributions));
  ++step_;
  const Sum sum = sum_of(contributions);
  if (sum.samples == 0) return;
  ++updates_;

  const double scale = 1.0 / static_cast<double>(sum.samples);
  const double clipped = train_.clip.norm ? scale * clip_factor(*norm, *train_.clip.norm) : scale;
  const double step_rate = rate(step_);
  auto next = take_spare();
  std::vector<std::span<const float>> parts(sum.parts.size());
  std::size_t at = 0;
  for (const Slice& slice : slices_) {
    for (std::size_t i = 0; i < parts.size(); ++i) parts[i] = sum.parts[i].subspan(at, slice.length);
    Target target{.value = std::span(*values_).subspan(at, slice.length),
                  .next = std::span(*next).subspan(at, slice.length)};
    for (Array& array : arrays_) target.arrays[array.place] = array.floats.data() + at;
    const bool buffer = kind_of(slice) == ValueKind::buffer;
    Gradient gradient{parts, static_cast<float>(buffer ? scale : clipped), std::nullopt};
    if (train_.clip.value) gradient.bound = static_cast<float>(*train_.clip.value);
    update(train_.optimizer, step_rate, updates_, {kind_of(slice), slice.rate, slice.decay}, target,
           gradient);
    if (average_) {
      average(target.next, std::span(*average_).subspan(at, slice.length), train_.ema->decay, updates_);
    }
    at += slice.length;
  }
  spare_.push_back(std::exchange(values_, std::move(next)));
}

std::vector<double> Table::square_sums(std::span<const Contribution> contributions) const {
  const Sum sum = sum_of(contributions);
  const auto scale = static_cast<float>(sum.samples == 0 ? 0.0 : 1.0 / static_cast<double>(sum.samples));
  std::vector<double> sums;
  std::vector<std::span<const float>> parts(sum.parts.size());
  std::size_t at = 0;
  for (const Slice& slice : slices_) {
    for (std::size_t i = 0; i < parts.size(); ++i) parts[i] = sum.parts[i].subspan(at, slice.length);
    const bool counts = kind_of(slice) != ValueKind::buffer;
    sums.push_back(counts ? square_sum({parts, scale, std::nullopt}, slice.length) : 0.0);
    at += slice.length;
  }
  return sums;
}

Table::Values Table::averages() const {
  return average_ ? std::make_shared<const std::vector<float>>(*average_) : nullptr;
}

double norm_of(std::span<const double> square_sums) {
  double sum = 0;
  for (const double one : square_sums) sum += one;
  return std::sqrt(sum);
}

}  // namespace trainyard::optim
