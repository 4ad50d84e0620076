// Pools.
#include <algorithm>

#include "common/graph/onnx/operators.hpp"
#include "common/graph/onnx/window.hpp"

namespace trainyard::graph::onnx_file {
namespace {

/// Rounding up adds windows that hang over the end; those that would start behind the input are left out
/// (ONNX, AveragePool-19, ceil_mode).
void round_up(Window& w, Sides extents) {
  for (std::size_t i = 0; i < 2; ++i) {
    const std::int64_t reach = (w.kernel[i] - 1) * w.dilation[i] + 1;
    const std::int64_t padded = extents[i] + w.before[i] + w.after[i];
    if (padded < reach) continue;
    std::int64_t steps = (padded - reach + w.stride[i] - 1) / w.stride[i];
    if (steps * w.stride[i] >= extents[i] + w.before[i]) --steps;
    w.after[i] += std::max<std::int64_t>(0, steps * w.stride[i] + reach - padded);
  }
}

struct Pooled {
  Window window;
  std::size_t rank = 0;
  bool rounds_up = false;
  Sides after{};  // before it was rounded up
};

Pooled pool_of(Call& c) {
  Pooled out;
  out.rank = c.shape(0).rank();
  const Sides extents = spatial(c, c.shape(0));
  if (!c.require(c.has_attribute("kernel_shape"), "the attribute 'kernel_shape' is missing")) return out;
  out.window = window_of(c, out.rank - 2, extents, {1, 1});
  out.after = out.window.after;
  out.rounds_up = c.flag("ceil_mode", false);
  if (out.rounds_up && c.ok()) round_up(out.window, extents);
  return out;
}

void max_pool(Call& c) {
  c.ignore("storage_order");  // of the indices
  const Pooled pooled = pool_of(c);
  const DType type = c.type(0);
  const ValueId x = as_image(c, c.cast(c.value(0), DType::f32));
  const ValueId y = c.add(Kind::max_pool, pooled.window.attributes(), {x});
  c.give(c.cast(from_image(c, y, pooled.rank), type));
}

void average_pool(Call& c) {
  Pooled pooled = pool_of(c);
  const bool counts = c.flag("count_include_pad", false);
  ValueId x = as_image(c, c.value(0));
  Attributes a = pooled.window.attributes();
  a.count_padding = counts;
  if (counts && pooled.rounds_up) {
    // Padding counts, what hangs over behind it does not: so the padding becomes a part of the image.
    Attributes pad;
    pad.starts = {0, 0, a.pad_top, a.pad_left};
    pad.ends = {0, 0, pooled.after[0], pooled.after[1]};
    x = c.add(Kind::pad, pad, {x});
    a.pad_top = a.pad_left = 0;
    a.pad_bottom -= pooled.after[0];
    a.pad_right -= pooled.after[1];
    a.count_padding = false;
  }
  c.give(from_image(c, c.add(Kind::avg_pool, a, {x}), pooled.rank));
}

/// The p-th power of |x|, and back.
ValueId raise(Call& c, ValueId x, std::int64_t p) {
  if (p == 1) return c.unary(Function::abs, x);
  if (p == 2) return c.unary(Function::square, x);
  return c.binary(Arithmetic::power, c.unary(Function::abs, x), c.scalar(static_cast<double>(p)));
}
ValueId root(Call& c, ValueId x, std::int64_t p) {
  if (p == 1) return x;
  if (p == 2) return c.unary(Function::sqrt, x);
  return c.binary(Arithmetic::power, x, c.scalar(1.0 / static_cast<double>(p)));
}

void lp_pool(Call& c) {
  const Pooled pooled = pool_of(c);
  const std::int64_t p = c.integer("p", 2, 1);
  Attributes a = pooled.window.attributes();
  a.count_padding = true;
  const ValueId x = raise(c, as_image(c, c.value(0)), p);
  const ValueId mean = c.add(Kind::avg_pool, a, {x});
  const double area = static_cast<double>(a.kernel_height) * static_cast<double>(a.kernel_width);
  c.give(from_image(c, root(c, c.binary(Arithmetic::multiply, mean, c.scalar(area)), p), pooled.rank));
}

/// One window over all that lies behind the channels; `pool` gets it as an image.
void global_pool(Call& c, Kind kind) {
  const Shape& shape = c.shape(0);
  if (!c.require(shape.rank() >= 3, "of {}; it needs spatial axes", shape.text())) return;
  Attributes a;
  a.kernel_height = shape.rank() == 4 ? shape[2] : 1;
  a.kernel_width = shape.rank() == 4 ? shape[3] : shape.volume(2);
  if (!c.require(a.kernel_height > 0 && a.kernel_width > 0,
                 "of {}; its spatial extents have to be known and not 0", shape.text()))
    return;
  const ValueId image = c.reshape(c.value(0), {shape[0], shape[1], a.kernel_height, a.kernel_width});
  std::vector<std::int64_t> dims(shape.rank(), 1);
  dims[0] = shape[0];
  dims[1] = shape[1];
  c.give(c.reshape(c.add(kind, a, {image}), dims));
}

void global_average_pool(Call& c) { global_pool(c, Kind::avg_pool); }
void global_max_pool(Call& c) { global_pool(c, Kind::max_pool); }

void global_lp_pool(Call& c) {
  const std::int64_t p = c.integer("p", 2, 1);
  const std::size_t rank = c.shape(0).rank();
  if (!c.require(rank >= 3, "of {}; it needs spatial axes", c.shape(0).text())) return;
  Attributes a;
  a.reduction = ops::Reduction::sum;
  for (std::size_t axis = 2; axis < rank; ++axis) a.axes.push_back(static_cast<std::int64_t>(axis));
  c.give(root(c, c.add(Kind::reduce, a, {raise(c, c.value(0), p)}), p));
}

constexpr Operator operators[] = {
    {"MaxPool", 1, max_pool},
    {"AveragePool", 7, average_pool},
    {"LpPool", 2, lp_pool},
    {"GlobalAveragePool", 1, global_average_pool},
    {"GlobalMaxPool", 1, global_max_pool},
    {"GlobalLpPool", 2, global_lp_pool},
};

}  // namespace

std::span<const Operator> pool_operators() { return operators; }

}  // namespace trainyard::graph::onnx_file
