// Reductions and other operations along axes.
#include <algorithm>
#include <numeric>

#include "common/ops/infer/infer.hpp"

namespace trainyard::ops {
namespace {

Inferred reduce(Attributes& a, const Signature& x) {
  if (a.reduction == Reduction::l2 || a.reduction == Reduction::log_sum ||
      a.reduction == Reduction::log_sum_exp)
    if (auto ok = real_numbers(x); !ok) return ok.error();
  if (a.axes.empty()) {
    a.axes.resize(x.shape.rank());
    std::iota(a.axes.begin(), a.axes.end(), 0);
  }
  if (auto ok = front_axes(a.axes, x.shape.rank()); !ok) return ok.error();
  std::sort(a.axes.begin(), a.axes.end());
  std::vector<std::int64_t> dims;
  for (std::size_t axis = 0; axis < x.shape.rank(); ++axis) {
    const bool gone = std::binary_search(a.axes.begin(), a.axes.end(), static_cast<std::int64_t>(axis));
    if (!gone) dims.push_back(x.shape[axis]);
    if (gone && a.keep_dims) dims.push_back(1);
  }
  return Signatures{{Shape(std::move(dims)), x.type}};
}

}  // namespace

Inferred infer_along(Kind kind, Attributes& attributes, std::span<const Signature> inputs) {
  if (auto ok = operands(inputs, 1); !ok) return ok.error();
  const Signature& x = inputs[0];
  if (kind == Kind::reduce) return reduce(attributes, x);
  const auto axis = front_axis(attributes.axis, x.shape.rank());
  if (!axis) return axis.error();
  attributes.axis = *axis;
  const auto at = static_cast<std::size_t>(*axis);
  if (kind == Kind::softmax || kind == Kind::log_softmax)
    if (auto ok = real_numbers(x); !ok) return ok.error();
  if (kind == Kind::arg_extreme) {
    if (x.shape[at] == 0) return shape_error("along axis {} of {}, which is empty", at, x.shape.text());
    std::vector<std::int64_t> dims = x.shape.dims();
    if (attributes.keep_dims)
      dims[at] = 1;
    else
      dims.erase(dims.begin() + *axis);
    return Signatures{{Shape(std::move(dims)), DType::i64}};
  }
  if (kind == Kind::top_k) {
    if (attributes.size < 0 || x.shape[at] < attributes.size)
      return shape_error("the first {} of {} along axis {}", attributes.size, x.shape.text(), at);
    Shape shape = x.shape;
    shape[at] = attributes.size;
    return Signatures{{shape, x.type}, {shape, DType::i64}};
  }
  return Signatures{x};
}

}  // namespace trainyard::ops
