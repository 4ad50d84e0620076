// The extents of a tensor, row major, batch first. A shape of a graph may leave the batch open; a bound one
// may not. A rank of zero is a scalar.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "common/base/check.hpp"

namespace trainyard::tensor {

/// The batch of a graph that is not yet bound to a size. An extent of -k is k times the batch: what a reshape
/// from [N, k, ...] to [N * k, ...] leaves.
inline constexpr std::int64_t kBatch = -1;

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims) : dims_(dims) {}
  explicit Shape(std::vector<std::int64_t> dims) : dims_(std::move(dims)) {}

  std::size_t rank() const { return dims_.size(); }
  std::int64_t operator[](std::size_t axis) const { return dims_[axis]; }
  std::int64_t& operator[](std::size_t axis) { return dims_[axis]; }
  const std::vector<std::int64_t>& dims() const { return dims_; }
  bool open() const {
    for (const auto dim : dims_)
      if (dim < 0) return true;
    return false;
  }

  /// The number of elements; the batch must be bound.
  std::int64_t elements() const {
    check(!open(), "an open shape has no number of elements");
    return volume();
  }
  /// The product of the extents from `first` up to `end`; negative: that many times the batch. At most one
  /// extent of a shape may be open.
  std::int64_t volume(std::size_t first = 0, std::size_t end = SIZE_MAX) const {
    std::int64_t count = 1;
    for (std::size_t axis = first; axis < dims_.size() && axis < end; ++axis) count *= dims_[axis];
    return count;
  }
  /// The same shape with the batch bound to `count`.
  Shape with_batch(std::int64_t count) const {
    Shape out = *this;
    for (auto& dim : out.dims_)
      if (dim < 0) dim *= -count;
    return out;
  }
  /// "[N, 3, 64, 64]"; "[64N, 10]"
  std::string text() const {
    std::string out = "[";
    for (const auto dim : dims_) {
      if (out.size() > 1) out += ", ";
      out += dim >= 0 ? std::to_string(dim) : (dim == kBatch ? "" : std::to_string(-dim)) + "N";
    }
    return out + "]";
  }
  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::vector<std::int64_t> dims_;
};

/// The shape of a result of operands `a` and `b` when sizes of 1 stretch, aligned at the right; false when
/// they do not fit. Source: ONNX, Multidirectional Broadcasting.
inline bool broadcast(const Shape& a, const Shape& b, Shape& out) {
  const std::size_t rank = a.rank() > b.rank() ? a.rank() : b.rank();
  std::vector<std::int64_t> dims(rank);
  for (std::size_t i = 0; i < rank; ++i) {
    const std::int64_t left = i < a.rank() ? a[a.rank() - 1 - i] : 1;
    const std::int64_t right = i < b.rank() ? b[b.rank() - 1 - i] : 1;
    if (left != right && left != 1 && right != 1) return false;
    dims[rank - 1 - i] = left == 1 ? right : left;
  }
  out = Shape(std::move(dims));
  return true;
}

}  // namespace trainyard::tensor
