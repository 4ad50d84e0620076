#include "common/optim/rows.hpp"

#include "common/base/check.hpp"
#include "common/optim/row_step.hpp"

namespace trainyard::optim {

namespace {

/// Memory is far away and rows are in no order that a processor guesses.
constexpr std::size_t rows_ahead = 4;
constexpr std::size_t line_floats = 16;

void fetch(const float* row, std::size_t width) {
  if (row == nullptr) return;
  for (std::size_t i = 0; i < width; i += line_floats) __builtin_prefetch(row + i, 1);
  asm volatile("");  // or g++ takes this for a function without an effect, and leaves calls of it out
}

}  // namespace

void update_rows(const config::OptimizerSection& optimizer, double rate, std::uint64_t update,
                 const SliceRule& slice, const RowTarget& target, const tensor::RowGradient& gradient,
                 float scale, std::optional<float> bound) {
  check(!needs_whole_tensors(optimizer.kind) && slice.kind != ValueKind::buffer, "a rule that knows rows");
  check(gradient.rows.size() == gradient.ids.size() * gradient.width, "each id has its row");
  for (const RuleArray& array : rule_arrays(optimizer))
    check(target.arrays[array.place] != nullptr, "a rule has its arrays");
  RowStep step(optimizer, rate, slice, scale, bound);
  for (std::size_t i = 0; i < gradient.ids.size(); ++i) {
    if (i + rows_ahead < gradient.ids.size()) {
      const std::size_t ahead = static_cast<std::size_t>(gradient.ids[i + rows_ahead]) * gradient.width;
      fetch(target.values + ahead, gradient.width);
      for (const float* array : target.arrays)
        fetch(array == nullptr ? nullptr : array + ahead, gradient.width);
    }
    const std::size_t at = static_cast<std::size_t>(gradient.ids[i]) * gradient.width;
    RowTarget row{.values = target.values + at};
    for (std::size_t k = 0; k < rule_arrays_max; ++k)
      row.arrays[k] = target.arrays[k] == nullptr ? nullptr : target.arrays[k] + at;
    step.apply(row, gradient.rows.data() + i * gradient.width, gradient.width, update);
  }
}

double square_sum(const tensor::RowGradient& gradient, float scale) {
  const std::span<const float> parts[] = {gradient.rows};
  return square_sum({parts, scale, std::nullopt, std::nullopt}, gradient.rows.size());
}

void RowSum::add(const tensor::RowGradient& part) {
  const std::size_t width = part.width;
  if (ids_.empty()) {
    offset_ = part.offset;
    width_ = width;
    ids_.assign(part.ids.begin(), part.ids.end());
    rows_.assign(part.rows.begin(), part.rows.end());
    return;
  }
  check(offset_ == part.offset && width_ == width, "rows of one tensor are summed");
  next_ids_.clear();
  next_rows_.clear();
  std::size_t i = 0, k = 0;
  while (i < ids_.size() || k < part.ids.size()) {
    const bool left = i < ids_.size() && (k == part.ids.size() || ids_[i] <= part.ids[k]);
    const bool right = k < part.ids.size() && (i == ids_.size() || part.ids[k] <= ids_[i]);
    next_ids_.push_back(left ? ids_[i] : part.ids[k]);
    const float* const first = left ? rows_.data() + i * width : part.rows.data() + k * width;
    next_rows_.insert(next_rows_.end(), first, first + width);
    if (left && right) {
      float* const sum = next_rows_.data() + next_rows_.size() - width;
      const float* const more = part.rows.data() + k * width;
      for (std::size_t at = 0; at < width; ++at) sum[at] += more[at];
    }
    i += left ? 1 : 0;
    k += right ? 1 : 0;
  }
  ids_.swap(next_ids_);
  rows_.swap(next_rows_);
}

void add_rows(const tensor::RowGradient& gradient, float* values) {
  for (std::size_t i = 0; i < gradient.ids.size(); ++i) {
    float* const to = values + static_cast<std::size_t>(gradient.ids[i]) * gradient.width;
    const float* const from = gradient.rows.data() + i * gradient.width;
    for (std::size_t k = 0; k < gradient.width; ++k) to[k] += from[k];
  }
}

}  // namespace trainyard::optim
