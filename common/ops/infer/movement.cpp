// Operations that move elements and compute nothing.
#include <algorithm>
#include <optional>

#include "common/ops/infer/infer.hpp"

namespace trainyard::ops {
namespace {

/// The product of extents that come from outside, and may be anything; none when no number holds it.
std::optional<std::int64_t> product(const std::vector<std::int64_t>& dims) {
  std::int64_t count = 1;
  for (const std::int64_t dim : dims)
    if (__builtin_mul_overflow(count, dim, &count)) return std::nullopt;
  return count;
}

Inferred reshape(const Attributes& a, const Signature& x) {
  const Shape to(a.dims);
  const auto open = std::count_if(a.dims.begin(), a.dims.end(), [](auto dim) { return dim < 0; });
  if (open > 1 || product(a.dims) != x.shape.volume())
    return shape_error("of {} to {}, which holds another number of elements", x.shape.text(), to.text());
  return Signatures{{to, x.type}};
}

Inferred transpose(Attributes& a, const Signature& x) {
  if (a.axes.empty())
    for (std::size_t axis = x.shape.rank(); axis-- > 0;) a.axes.push_back(static_cast<std::int64_t>(axis));
  if (a.axes.size() != x.shape.rank()) return shape_error("of {} by {} axes", x.shape.text(), a.axes.size());
  if (auto ok = front_axes(a.axes, x.shape.rank()); !ok) return ok.error();
  std::vector<std::int64_t> dims;
  for (const auto axis : a.axes) dims.push_back(x.shape[static_cast<std::size_t>(axis)]);
  return Signatures{{Shape(std::move(dims)), x.type}};
}

/// Bounds beyond the tensor are brought inside, as in Python; afterwards starts lie inside and ends are those
/// of the elements taken.
Inferred slice(Attributes& a, const Signature& x) {
  if (a.starts.size() != a.axes.size() || a.ends.size() != a.axes.size())
    return shape_error("names {} axes, {} starts and {} ends", a.axes.size(), a.starts.size(), a.ends.size());
  if (a.steps.empty()) a.steps.assign(a.axes.size(), 1);
  if (a.steps.size() != a.axes.size())
    return shape_error("names {} axes and {} steps", a.axes.size(), a.steps.size());
  if (auto ok = front_axes(a.axes, x.shape.rank()); !ok) return ok.error();
  Shape y = x.shape;
  for (std::size_t i = 0; i < a.axes.size(); ++i) {
    const auto axis = static_cast<std::size_t>(a.axes[i]);
    const std::int64_t extent = x.shape[axis];
    if (a.steps[i] == 0) return shape_error("has a step of 0");
    if (extent < 0) return shape_error("cuts the batch of {}; only other axes can be cut", x.shape.text());
    // Longer steps leave the tensor too.
    a.steps[i] = std::clamp(a.steps[i], -extent - 1, extent + 1);
    const std::int64_t step = a.steps[i];
    const auto inside = [&](std::int64_t at) {
      if (at < 0) at += extent;
      return step > 0 ? std::clamp<std::int64_t>(at, 0, extent)
                      : std::clamp<std::int64_t>(at, -1, extent - 1);
    };
    // An end of -extent - 1 or below means "past the front" for negative steps.
    const std::int64_t start = inside(std::clamp<std::int64_t>(a.starts[i], -extent - 1, extent));
    std::int64_t end = std::clamp<std::int64_t>(a.ends[i], -extent - 1, extent);
    end = step < 0 && end == -extent - 1 ? -1 : inside(end);
    const std::int64_t span = step > 0 ? end - start + step - 1 : end - start + step + 1;
    const std::int64_t count = std::max<std::int64_t>(0, span / step);
    a.starts[i] = count == 0 ? 0 : start;
    a.ends[i] = end;
    y[axis] = count;
  }
  return Signatures{{y, x.type}};
}

Inferred concat(Attributes& a, std::span<const Signature> in) {
  const auto axis = front_axis(a.axis, in[0].shape.rank());
  if (!axis) return axis.error();
  a.axis = *axis;
  Shape y = in[0].shape;
  const auto at = static_cast<std::size_t>(*axis);
  y[at] = 0;
  for (const Signature& one : in) {
    Shape shape = one.shape;
    if (shape.rank() != y.rank() || one.type != in[0].type)
      return shape_error("{} beside {}", one.shape.text(), in[0].shape.text());
    if ((shape[at] < 0) != (in[0].shape[at] < 0)) return shape_error("mixes the batch with a fixed extent");
    y[at] += shape[at];
    shape[at] = in[0].shape[at];
    if (shape != in[0].shape)
      return shape_error("{} beside {}; all but axis {} have to agree", one.shape.text(), in[0].shape.text(),
                         at);
  }
  return Signatures{{y, in[0].type}};
}

Inferred pad(Attributes& a, const Signature& x) {
  const std::size_t rank = x.shape.rank();
  if (a.starts.size() != rank || a.ends.size() != rank)
    return shape_error("needs {} numbers in front and behind", rank);
  Shape y = x.shape;
  for (std::size_t axis = 0; axis < rank; ++axis) {
    if (a.starts[axis] == 0 && a.ends[axis] == 0) continue;
    if (y[axis] < 0) return shape_error("of the batch of {}", x.shape.text());
    if (__builtin_add_overflow(y[axis], a.starts[axis], &y[axis]) ||
        __builtin_add_overflow(y[axis], a.ends[axis], &y[axis]))
      return shape_error("of axis {} of {} by more than there are numbers", axis, x.shape.text());
    if (y[axis] < 0) return shape_error("takes more from axis {} of {} than it has", axis, x.shape.text());
    if (a.pad_mode == PadMode::reflect && (a.starts[axis] >= x.shape[axis] || a.ends[axis] >= x.shape[axis]))
      return shape_error("reflects more of axis {} of {} than it has", axis, x.shape.text());
    if (a.pad_mode == PadMode::edge && x.shape[axis] == 0) return shape_error("of an empty axis has no edge");
  }
  return Signatures{{y, x.type}};
}

Inferred expand(const Attributes& a, const Signature& x) {
  Shape y;
  if (!tensor::broadcast(x.shape, Shape(a.dims), y))
    return shape_error("of {} to {}", x.shape.text(), Shape(a.dims).text());
  return Signatures{{y, x.type}};
}

}  // namespace

Inferred infer_movement(Kind kind, Attributes& attributes, std::span<const Signature> inputs) {
  if (kind != Kind::concat)
    if (auto ok = operands(inputs, 1); !ok) return ok.error();
  switch (kind) {
    case Kind::reshape:
      return reshape(attributes, inputs[0]);
    case Kind::transpose:
      return transpose(attributes, inputs[0]);
    case Kind::slice:
      return slice(attributes, inputs[0]);
    case Kind::concat:
      return concat(attributes, inputs);
    case Kind::pad:
      return pad(attributes, inputs[0]);
    default:
      return expand(attributes, inputs[0]);
  }
}

}  // namespace trainyard::ops
