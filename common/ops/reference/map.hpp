// Where the elements of a row-major tensor lie in another one, and which C++ type a DType stands for. What
// the reference loops over any rank and type share. Private to this backend.
#pragma once

#include <bit>

#include "common/ops/arithmetic.hpp"
#include "common/ops/element_bits.hpp"
#include "common/ops/reference/reference.hpp"
#include "common/tensor/half.hpp"

namespace trainyard::ops::reference {

inline std::vector<std::int64_t> strides_of(const Shape& shape) {
  std::vector<std::int64_t> strides(shape.rank());
  std::int64_t step = 1;
  for (std::size_t axis = shape.rank(); axis-- > 0;) {
    strides[axis] = step;
    step *= shape[axis];
  }
  return strides;
}

/// Element i of a row-major tensor of the extents `dims` lies at base + the sum of coordinate * stride.
struct Map {
  std::vector<std::int64_t> dims, strides;
  std::int64_t base = 0;

  std::int64_t operator()(std::int64_t element) const {
    std::int64_t at = base;
    for (std::size_t axis = dims.size(); axis-- > 0;) {
      at += element % dims[axis] * strides[axis];
      element /= dims[axis];
    }
    return at;
  }
};

/// From the elements of `to` to those of `from`, which broadcasts to it.
inline Map broadcast_map(const Shape& from, const Shape& to) {
  Map map{to.dims(), std::vector<std::int64_t>(to.rank(), 0), 0};
  const std::vector<std::int64_t> strides = strides_of(from);
  for (std::size_t i = 1; i <= from.rank(); ++i)
    if (from[from.rank() - i] != 1) map.strides[to.rank() - i] = strides[from.rank() - i];
  return map;
}

/// A tensor as lines along one axis: element k of line (o, i) lies at (o * extent + k) * inner + i.
struct Lines {
  Lines(const Shape& shape, std::int64_t axis)
      : outer(shape.volume(0, static_cast<std::size_t>(axis))),
        extent(shape[static_cast<std::size_t>(axis)]),
        inner(shape.volume(static_cast<std::size_t>(axis) + 1)) {}
  std::int64_t count() const { return outer * inner; }
  /// The first element of line `line` in a tensor that has `length` elements along the axis.
  std::int64_t first(std::int64_t line, std::int64_t length) const {
    return line / inner * length * inner + line % inner;
  }
  std::int64_t outer, extent, inner;
};

/// make(T{}) with the type that the elements have in this backend; nullptr for storage types.
template <typename Real, typename Make>
std::unique_ptr<Kernel> by_type(DType type, Make&& make) {
  switch (type) {
    case DType::f32:
      return make(Real{});
    case DType::i32:
      return make(std::int32_t{});
    case DType::i64:
      return make(std::int64_t{});
    case DType::u8:
      return make(std::uint8_t{});
    default:
      return nullptr;
  }
}

/// The same for what only moves elements: a type of their size.
template <typename Real, typename Make>
std::unique_ptr<Kernel> by_size(DType type, Make&& make) {
  const std::size_t size = type == DType::f32 ? sizeof(Real) : tensor::size_of(type);
  switch (size) {
    case 1:
      return make(std::uint8_t{});
    case 2:
      return make(std::uint16_t{});
    case 4:
      return make(std::uint32_t{});
    default:
      return make(std::uint64_t{});
  }
}

/// make(index type{}), of an operand that is i32 or i64.
template <typename Make>
std::unique_ptr<Kernel> by_index(DType type, Make&& make) {
  return type == DType::i32 ? make(std::int32_t{}) : make(std::int64_t{});
}

}  // namespace trainyard::ops::reference
