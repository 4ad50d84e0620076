// Where the elements of a row-major tensor lie in another one, as device code finds them. A plain value.
// Private to this backend.
#pragma once

#include <cstdint>
#include <vector>

#include "common/ops/backend.hpp"
#include "launch.hpp"

namespace trainyard::ops::cuda {

/// Element i of a tensor of the extents `dims` lies at base + the sum of coordinate * stride.
struct Walk {
  static constexpr int kRankMax = 8;
  int rank = 0;
  bool narrow = true;  // all elements have numbers below 2^31: divisions of 32 bits do
  std::int64_t dims[kRankMax] = {}, strides[kRankMax] = {};
  std::int64_t base = 0;

  __device__ std::int64_t operator()(std::int64_t element) const {
    std::int64_t at = base;
    if (narrow) {
      auto left = static_cast<std::uint32_t>(element);
      for (int axis = rank - 1; axis > 0; --axis) {
        const auto extent = static_cast<std::uint32_t>(dims[axis]);
        const std::uint32_t above = left / extent;
        at += static_cast<std::int64_t>(left - above * extent) * strides[axis];
        left = above;
      }
      return rank > 0 ? at + static_cast<std::int64_t>(left) * strides[0] : at;
    }
    for (int axis = rank - 1; axis > 0; --axis) {
      at += element % dims[axis] * strides[axis];
      element /= dims[axis];
    }
    return rank > 0 ? at + element * strides[0] : at;
  }
};

inline std::vector<std::int64_t> strides_of(const Shape& shape) {
  std::vector<std::int64_t> strides(shape.rank());
  std::int64_t step = 1;
  for (std::size_t axis = shape.rank(); axis-- > 0;) {
    strides[axis] = step;
    step *= shape[axis];
  }
  return strides;
}

/// Axes that lie as one are made one. False: more axes are left than a walk has.
bool make_walk(const std::vector<std::int64_t>& dims, const std::vector<std::int64_t>& strides,
               std::int64_t base, Walk& walk);
/// From the elements of `to` to those of `from`, which broadcasts to it.
bool broadcast_walk(const Shape& from, const Shape& to, Walk& walk);

/// A tensor as lines along one axis: element k of line (o, i) lies at (o * extent + k) * inner + i.
struct Lines {
  Lines(const Shape& shape, std::int64_t axis)
      : outer(shape.volume(0, static_cast<std::size_t>(axis))),
        extent(shape[static_cast<std::size_t>(axis)]),
        inner(shape.volume(static_cast<std::size_t>(axis) + 1)) {}
  std::int64_t count() const { return outer * inner; }
  /// The first element of line `line` in a tensor that has `length` elements along the axis.
  __device__ std::int64_t first(std::int64_t line, std::int64_t length) const {
    return line / inner * length * inner + line % inner;
  }
  std::int64_t outer, extent, inner;
};

}  // namespace trainyard::ops::cuda
