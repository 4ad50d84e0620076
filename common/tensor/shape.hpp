// The extents of a tensor, row major, batch first. A shape of a graph may leave the batch open; a bound one
// may not.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "common/base/check.hpp"

namespace trainyard::tensor {

/// The batch of a graph that is not yet bound to a size.
inline constexpr std::int64_t kBatch = -1;

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims) : dims_(dims) {}
  explicit Shape(std::vector<std::int64_t> dims) : dims_(std::move(dims)) {}

  std::size_t rank() const { return dims_.size(); }
  std::int64_t operator[](std::size_t axis) const { return dims_[axis]; }
  const std::vector<std::int64_t>& dims() const { return dims_; }

  /// The number of elements; the batch must be bound.
  std::int64_t elements() const {
    std::int64_t count = 1;
    for (const auto dim : dims_) {
      check(dim >= 0, "an unbound shape has no number of elements");
      count *= dim;
    }
    return count;
  }
  /// The same shape with an open batch set to `count`.
  Shape with_batch(std::int64_t count) const {
    Shape out = *this;
    for (auto& dim : out.dims_)
      if (dim == kBatch) dim = count;
    return out;
  }
  /// "[N, 3, 64, 64]"
  std::string text() const {
    std::string out = "[";
    for (const auto dim : dims_) {
      if (out.size() > 1) out += ", ";
      out += dim == kBatch ? "N" : std::to_string(dim);
    }
    return out + "]";
  }
  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::vector<std::int64_t> dims_;
};

}  // namespace trainyard::tensor
