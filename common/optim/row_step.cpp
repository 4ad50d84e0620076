#include "common/optim/row_step.hpp"

#include <algorithm>

#include "common/base/check.hpp"
#include "common/optim/rule.hpp"

namespace trainyard::optim {

bool counts_updates(config::OptimizerKind kind) {
  return kind == config::OptimizerKind::adam || kind == config::OptimizerKind::adamw ||
         kind == config::OptimizerKind::lamb;
}

RowStep::RowStep(const config::OptimizerSection& optimizer, double rate, const SliceRule& slice, float scale,
                 std::optional<float> bound)
    : optimizer_(optimizer),
      rate_(rate * slice.rate),
      slice_(slice),
      scale_(scale),
      bound_(bound),
      counts_(counts_updates(optimizer.kind)),
      set_(kernels::best()),
      rule_(rule_of(optimizer, set_)) {
  check(!needs_whole_tensors(optimizer.kind) && slice.kind != ValueKind::buffer, "a rule that knows rows");
}

const kernels::Numbers& RowStep::numbers(std::uint64_t update) {
  const std::uint64_t key = counts_ ? update : 1;
  Known& known = known_[key % known_max];
  if (known.update != key) {
    known = {key, numbers_of(optimizer_, rate_, key, slice_)};
    known.numbers.scale = bound_ ? 1.0F : scale_;
  }
  return known.numbers;
}

void RowStep::apply(const RowTarget& row, const float* gradient, std::size_t width, std::uint64_t update) {
  const kernels::Numbers& numbers = this->numbers(update);
  for (std::size_t begin = 0; begin < width; begin += kernels::block_floats) {
    const std::size_t length = std::min(kernels::block_floats, width - begin);
    const float* part = gradient + begin;
    if (bound_) {
      set_.sum(&part, 1, 0, length, scale_, mean_.data());
      set_.clamp(mean_.data(), length, *bound_);
      part = mean_.data();
    }
    float* const values = row.values + begin;
    kernels::Block block{.gradient = part, .value = values, .next = next_.data(), .length = length};
    for (std::size_t k = 0; k < rule_arrays_max; ++k)
      block.state[k] = row.arrays[k] == nullptr ? nullptr : row.arrays[k] + begin;
    rule_(block, numbers);
    std::copy_n(next_.data(), length, values);
  }
}

}  // namespace trainyard::optim
