// How the mask of an attention is read: its elements lie in steps along the scores' axes. What the backends
// share; a value.
#pragma once

#include <array>
#include <cstdint>

#include "common/tensor/shape.hpp"

namespace trainyard::ops {

/// Floats between neighbours of a mask along [sample, head, query, key]; 0 where the mask is stretched. It
/// broadcasts to `scores`, whose extents these are.
inline std::array<std::int64_t, 4> mask_steps(const tensor::Shape& mask,
                                              const std::array<std::int64_t, 4>& scores) {
  std::array<std::int64_t, 4> steps{};
  std::int64_t step = 1;
  for (std::size_t back = 0; back < mask.rank(); ++back) {
    const std::int64_t extent = mask[mask.rank() - 1 - back];
    if (extent == scores[3 - back] && extent > 1) steps[3 - back] = step;
    step *= extent;
  }
  return steps;
}

}  // namespace trainyard::ops
