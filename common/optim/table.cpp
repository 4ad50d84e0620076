#include "common/optim/table.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/base/check.hpp"
#include "common/base/text.hpp"
#include "common/optim/schedule.hpp"

namespace trainyard::optim {

namespace {

// Below, waking a team of threads costs more than it saves.
constexpr std::size_t parallel_floats_min = 2 * slice_floats_usual;
constexpr std::int64_t rows_a_piece = 512;

ValueKind kind_of(const Slice& slice) { return static_cast<ValueKind>(slice.kind); }

}  // namespace

Table::Table(const config::TrainSection& train, std::vector<Slice> slices, std::uint64_t steps_per_epoch)
    : train_(train), slices_(std::move(slices)), steps_per_epoch_(steps_per_epoch) {
  std::size_t at = 0;
  for (const Slice& slice : slices_) {
    begins_.push_back(at);
    at += slice.length;
  }
}

Result<Table> Table::make(const config::TrainSection& train, std::vector<Slice> slices,
                          std::uint64_t steps_per_epoch, std::vector<float> values, const Delayed& delayed) {
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
  table.delayed_ = delayed;
  if (delayed && delayed->variant == config::DelaySection::Variant::adaptive)
    table.mean_square_.emplace(values.size(), 0.0F);
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
  if (spare_.size() >= spare_max_) spare_.erase(spare_.begin());
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

void Table::apply_slice(std::size_t index, const Sum& sum, const Step& step, std::vector<float>& next) {
  const Slice& slice = slices_[index];
  const std::size_t at = begins_[index];
  const SliceRule rule{kind_of(slice), slice.rate, slice.decay};
  const auto scale = static_cast<float>(rule.kind == ValueKind::buffer ? step.scale : step.clipped);
  std::array<float*, rule_arrays_max> arrays{};
  for (Array& array : arrays_) arrays[array.place] = array.floats.data() + at;
  const auto to = std::span(next).subspan(at, slice.length);
  std::vector<std::span<const float>> parts;
  for (const auto& part : sum.parts) parts.push_back(part.subspan(at, slice.length));
  const bool over = &next == values_.get();
  // On its way into values that nobody else holds.
  static thread_local std::vector<float> changed;
  if (over) changed.resize(std::max<std::size_t>(changed.size(), slice.length));
  const Target target{.value = std::span(*values_).subspan(at, slice.length),
                      .next = over ? std::span(changed).first(slice.length) : to,
                      .arrays = arrays};
  Gradient gradient{parts, scale, step.bound, std::nullopt};
  if (!step.seen.empty()) {
    gradient.delay = Delay{.seen = step.seen.subspan(at, slice.length),
                           .mean_square = mean_square_ ? mean_square_->data() + at : nullptr,
                           .strength = static_cast<float>(delayed_->strength()),
                           .keep = static_cast<float>(delayed_->decay)};
  }
  update(train_.optimizer, step.rate, updates_, rule, target, gradient);
  if (over) std::copy(target.next.begin(), target.next.end(), to.begin());
  if (average_) average(to, std::span(*average_).subspan(at, slice.length), train_.ema->decay, updates_);
}

void Table::apply_rows(std::size_t index, const Sum& sum, const Step& step, std::vector<float>& next) {
  const Slice& slice = slices_[index];
  const std::size_t at = begins_[index];
  std::array<float*, rule_arrays_max> arrays{};
  for (Array& array : arrays_) arrays[array.place] = array.floats.data() + at;
  const tensor::RowGradient rows = rows_of(slice, sum);
  const auto count = static_cast<std::int64_t>(rows.ids.size());
  const auto pieces = (count + rows_a_piece - 1) / rows_a_piece;
#pragma omp parallel for schedule(static) if (pieces > 1)
  for (std::int64_t piece = 0; piece < pieces; ++piece) {
    const auto first = static_cast<std::size_t>(piece * rows_a_piece);
    const std::size_t some = std::min<std::size_t>(rows_a_piece, rows.ids.size() - first);
    update_rows(train_.optimizer, step.rate, updates_, {kind_of(slice), slice.rate, slice.decay},
                {next.data() + at, arrays},
                {rows.offset, rows.width, rows.ids.subspan(first, some),
                 rows.rows.subspan(first * rows.width, some * rows.width)},
                static_cast<float>(step.clipped), step.bound);
  }
  const auto to = std::span(next).subspan(at, slice.length);
  if (average_) average(to, std::span(*average_).subspan(at, slice.length), train_.ema->decay, updates_);
}

void Table::apply(std::span<const Contribution> contributions, const Circumstances& circumstances) {
  check(circumstances.seen.empty() || (delayed_ && circumstances.seen.size() == size()),
        "a table corrects the delay that it was made for");
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
  std::optional<double> norm = circumstances.norm;
  if (train_.clip.norm && !norm) norm = norm_of(square_sums(contributions));
  ++step_;
  const Sum sum = sum_of(contributions);
  if (sum.samples == 0) return;
  ++updates_;

  Step step{.rate = rate(step_) / circumstances.slowness, .scale = 1.0 / static_cast<double>(sum.samples)};
  if (delayed_)
    step.seen = circumstances.seen.empty() ? std::span<const float>(*values_) : circumstances.seen;
  step.clipped = train_.clip.norm ? step.scale * clip_factor(*norm, *train_.clip.norm) : step.scale;
  if (train_.clip.value) step.bound = static_cast<float>(*train_.clip.value);
  auto next = take_next();
  const auto count = static_cast<std::int64_t>(slices_.size());
#pragma omp parallel for schedule(dynamic) if (size() >= parallel_floats_min)
  for (std::int64_t i = 0; i < count; ++i) {
    const auto index = static_cast<std::size_t>(i);
    if (!goes_by_rows(slices_[index])) apply_slice(index, sum, step, *next);
  }
  for (std::size_t i = 0; i < slices_.size(); ++i)
    if (goes_by_rows(slices_[i])) apply_rows(i, sum, step, *next);
  if (next != values_) spare_.push_back(std::exchange(values_, std::move(next)));
}

void Table::replace(std::span<const float> values) {
  check(values.size() == size(), "as many values come as go");
  auto next = take_spare();
  std::copy(values.begin(), values.end(), next->begin());
  spare_.push_back(std::exchange(values_, std::move(next)));
}

std::vector<double> Table::square_sums(std::span<const Contribution> contributions) const {
  const Sum sum = sum_of(contributions);
  const auto scale = static_cast<float>(sum.samples == 0 ? 0.0 : 1.0 / static_cast<double>(sum.samples));
  std::vector<double> sums(slices_.size());
  const auto count = static_cast<std::int64_t>(slices_.size());
#pragma omp parallel for schedule(dynamic) if (size() >= parallel_floats_min)
  for (std::int64_t i = 0; i < count; ++i) {
    const auto index = static_cast<std::size_t>(i);
    const Slice& slice = slices_[index];
    if (goes_by_rows(slice) || kind_of(slice) == ValueKind::buffer) continue;
    std::vector<std::span<const float>> parts;
    for (const auto& part : sum.parts) parts.push_back(part.subspan(begins_[index], slice.length));
    sums[index] = square_sum({parts, scale, std::nullopt, std::nullopt}, slice.length);
  }
  for (std::size_t i = 0; i < slices_.size(); ++i)
    if (goes_by_rows(slices_[i])) sums[i] = square_sum(rows_of(slices_[i], sum), scale);
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
