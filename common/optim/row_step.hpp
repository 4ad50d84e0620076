// The rule of a table for rows that lie anywhere, one call a row: what a store of rows and update_rows() have
// in common. Belongs to one thread, whose denormal numbers count as 0 while it lives.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "common/optim/kernels.hpp"
#include "common/optim/rows.hpp"

namespace trainyard::optim {

/// The rule corrects for how many updates there were (adam, adamw); the others do not look at the number.
bool counts_updates(config::OptimizerKind kind);

class RowStep {
 public:
  /// Not for rules that need whole tensors. `scale` times a gradient is the mean, of which each value is
  /// bounded.
  RowStep(const config::OptimizerSection& optimizer, double rate, const SliceRule& slice, float scale,
          std::optional<float> bound);

  /// `row` becomes what it is after update number `update` (from 1) of it; `width` floats each. The gradient
  /// overlaps nothing of it.
  void apply(const RowTarget& row, const float* gradient, std::size_t width, std::uint64_t update);

 private:
  const kernels::Numbers& numbers(std::uint64_t update);

  struct Known {
    std::uint64_t update = 0;
    kernels::Numbers numbers;
  };
  static constexpr std::size_t known_max = 64;  // powers are dear, and rows of one push are of few ages

  const config::OptimizerSection& optimizer_;
  const double rate_;
  const SliceRule slice_;
  const float scale_;
  const std::optional<float> bound_;
  const bool counts_;
  const kernels::Kernels& set_;
  void (*const rule_)(const kernels::Block&, const kernels::Numbers&);
  const kernels::DenormalsAsZero denormals_;
  std::array<Known, known_max> known_{};
  alignas(64) std::array<float, kernels::block_floats> mean_, next_;
};

}  // namespace trainyard::optim
