#include "common/optim/table.hpp"

#include <algorithm>
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
  for (const Slice& slice : slices)
    if (slice.row > 0 &&
        (slice.length % slice.row != 0 || static_cast<ValueKind>(slice.kind) == ValueKind::buffer))
      return Error{Errc::invalid, format("rows of {} values in a slice of {}", slice.row, slice.length)};
  Table table(train, std::move(slices), steps_per_epoch);
  table.by_rows_ = !needs_whole_tensors(train.optimizer.kind) &&
                   std::any_of(table.slices_.begin(), table.slices_.end(),
                               [](const Slice& slice) { return slice.row > 0; });
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
    sum.rows.push_back(contribution.rows);
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

/// Where the next values go: over the old ones where only rows change and nobody else holds them, since a
/// copy would cost more than the rows.
std::shared_ptr<std::vector<float>> Table::take_next() {
  if (!by_rows_) return take_spare();
  if (values_.use_count() == 1) {
    { const auto joined = values_; }  // as in take_spare()
    return values_;
  }
  auto next = take_spare();
  *next = *values_;
  return next;
}

/// The sum of all contributions to a slice.
tensor::RowGradient Table::rows_of(const Slice& slice, const Sum& sum) const {
  tensor::RowGradient one{slice.offset, slice.row, {}, {}};
  std::size_t found = 0;
  for (const auto& rows : sum.rows)
    for (const tensor::RowGradient& part : rows) {
      if (part.offset != slice.offset) continue;
      check(part.width == slice.row &&
                (part.ids.empty() || (part.ids.front() >= 0 && static_cast<std::uint64_t>(part.ids.back()) <
                                                                   slice.length / slice.row)),
            "rows lie within their tensor");
      if (++found == 1) {
        one = part;
        continue;
      }
      if (found == 2) {
        row_sum_.clear();
        row_sum_.add(one);
      }
      row_sum_.add(part);
    }
  return found > 1 ? row_sum_.view() : one;
}

/// The gradients with the rows in their places.
std::vector<float> Table::filled(const Contribution& contribution) const {
  std::vector<float> out(contribution.gradients.begin(), contribution.gradients.end());
  std::size_t at = 0;
  for (const Slice& slice : slices_) {
    if (slice.row > 0) std::fill_n(out.data() + at, slice.length, 0.0F);
    for (const tensor::RowGradient& part : contribution.rows)
      if (slice.row > 0 && part.offset == slice.offset) add_rows(part, out.data() + at);
    at += slice.length;
  }
  return out;
}

void Table::apply_slice(const Slice& slice, std::size_t at, const Sum& sum, const Step& step,
                        std::vector<float>& next) {
  const SliceRule rule{kind_of(slice), slice.rate, slice.decay};
  const bool buffer = rule.kind == ValueKind::buffer;
  const auto scale = static_cast<float>(buffer ? step.scale : step.clipped);
  std::optional<float> bound;
  if (train_.clip.value) bound = static_cast<float>(*train_.clip.value);
  std::array<float*, rule_arrays_max> arrays{};
  for (Array& array : arrays_) arrays[array.place] = array.floats.data() + at;
  const auto to = std::span(next).subspan(at, slice.length);
  if (by_rows_ && slice.row > 0) {
    update_rows(train_.optimizer, step.rate, updates_, rule, {to.data(), arrays}, rows_of(slice, sum), scale,
                bound);
  } else {
    std::vector<std::span<const float>> parts;
    for (const auto& part : sum.parts) parts.push_back(part.subspan(at, slice.length));
    const bool over = &next == values_.get();
    if (over) changed_.resize(std::max<std::size_t>(changed_.size(), slice.length));
    const Target target{.value = std::span(*values_).subspan(at, slice.length),
                        .next = over ? std::span(changed_).first(slice.length) : to,
                        .arrays = arrays};
    update(train_.optimizer, step.rate, updates_, rule, target, {parts, scale, bound});
    if (over) std::copy(target.next.begin(), target.next.end(), to.begin());
  }
  if (average_) average(to, std::span(*average_).subspan(at, slice.length), train_.ema->decay, updates_);
}

void Table::apply(std::span<const Contribution> contributions, std::optional<double> norm) {
  // Rules of whole tensors see zeros where there are no rows.
  std::vector<std::vector<float>> whole;
  std::vector<Contribution> copies;
  const bool fills = !by_rows_ && std::any_of(slices_.begin(), slices_.end(),
                                              [](const Slice& slice) { return slice.row > 0; });
  for (std::size_t i = 0; fills && i < contributions.size(); ++i) {
    const Contribution& one = contributions[i];
    whole.push_back(one.samples > 0 ? filled(one) : std::vector<float>());
    copies.push_back({one.samples, whole.back(), {}});
  }
  if (fills) contributions = copies;
  if (train_.clip.norm && !norm) norm = norm_of(square_sums(contributions));
  ++step_;
  const Sum sum = sum_of(contributions);
  if (sum.samples == 0) return;
  ++updates_;

  Step step{.rate = rate(step_), .scale = 1.0 / static_cast<double>(sum.samples)};
  step.clipped = train_.clip.norm ? step.scale * clip_factor(*norm, *train_.clip.norm) : step.scale;
  auto next = take_next();
  std::size_t at = 0;
  for (const Slice& slice : slices_) {
    apply_slice(slice, at, sum, step, *next);
    at += slice.length;
  }
  if (next != values_) spare_.push_back(std::exchange(values_, std::move(next)));
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
    if (by_rows_ && slice.row > 0)
      sums.push_back(square_sum(rows_of(slice, sum), scale));
    else
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
