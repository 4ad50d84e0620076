// Source: ONNX, Conv and AveragePool, auto_pad.
#include "common/graph/onnx/window.hpp"

#include <algorithm>

namespace trainyard::graph::onnx_file {

namespace {

constexpr std::int64_t side_max = std::int64_t{1} << 24;

Sides padding_for_same(const Window& w, Sides extents) {
  Sides total{};
  for (std::size_t i = 0; i < 2; ++i) {
    const std::int64_t output = (extents[i] + w.stride[i] - 1) / w.stride[i];
    const std::int64_t reach = (w.kernel[i] - 1) * w.dilation[i] + 1;
    total[i] = std::max<std::int64_t>(0, (output - 1) * w.stride[i] + reach - extents[i]);
  }
  return total;
}

}  // namespace

Attributes Window::attributes() const {
  Attributes a;
  a.kernel_height = kernel[0];
  a.kernel_width = kernel[1];
  a.stride_height = stride[0];
  a.stride_width = stride[1];
  a.dilation_height = dilation[0];
  a.dilation_width = dilation[1];
  a.pad_top = before[0];
  a.pad_left = before[1];
  a.pad_bottom = after[0];
  a.pad_right = after[1];
  return a;
}

Sides spatial(Call& c, const Shape& shape) {
  if (!c.require(shape.rank() == 3 || shape.rank() == 4, "of {}; one and two spatial axes are supported",
                 shape.text()))
    return {1, 1};
  const Sides out{shape.rank() == 3 ? 1 : shape[2], shape[shape.rank() - 1]};
  c.require(out[0] > 0 && out[1] > 0, "of {}; its spatial extents have to be known and not 0", shape.text());
  return c.ok() ? out : Sides{1, 1};
}

Sides sides(Call& c, const char* name, std::size_t axes, std::int64_t otherwise, std::int64_t least) {
  const auto list = c.integer_list(name);
  if (list.empty()) return {otherwise, otherwise};
  if (!c.require(list.size() == axes, "{} has {} numbers; {} are needed", name, list.size(), axes))
    return {otherwise, otherwise};
  for (const std::int64_t value : list)
    if (!c.require(value >= least && value <= side_max, "{} has {}; it has to be in {}..{}", name, value,
                   least, side_max))
      return {otherwise, otherwise};
  return {axes == 1 ? otherwise : list[0], list.back()};
}

Window window_of(Call& c, std::size_t axes, Sides extents, Sides kernel) {
  Window w;
  w.kernel = kernel;
  if (c.has_attribute("kernel_shape")) {
    w.kernel = sides(c, "kernel_shape", axes, 1, 1);
    if (axes == 1) w.kernel[0] = 1;
  }
  w.stride = sides(c, "strides", axes, 1, 1);
  w.dilation = sides(c, "dilations", axes, 1, 1);
  const std::string automatic = c.word("auto_pad", "NOTSET");
  const auto pads = c.integer_list("pads");
  if (automatic == "NOTSET" || automatic.empty()) {
    if (pads.empty()) return w;
    if (!c.require(pads.size() == 2 * axes, "pads has {} numbers; {} are needed", pads.size(), 2 * axes))
      return w;
    for (const std::int64_t pad : pads)
      if (!c.require(pad >= 0 && pad <= side_max, "pads has {}; it has to be in 0..{}", pad, side_max))
        return w;
    w.before = {axes == 1 ? 0 : pads[0], pads[axes - 1]};
    w.after = {axes == 1 ? 0 : pads[axes], pads[2 * axes - 1]};
    return w;
  }
  if (automatic == "VALID") return w;
  if (!c.require(automatic == "SAME_UPPER" || automatic == "SAME_LOWER", "auto_pad is '{}'",
                 shown(automatic)))
    return w;
  const Sides total = padding_for_same(w, extents);
  for (std::size_t i = 0; i < 2; ++i) {
    const std::int64_t less = total[i] / 2, more = total[i] - less;
    w.before[i] = automatic == "SAME_UPPER" ? less : more;
    w.after[i] = total[i] - w.before[i];
  }
  return w;
}

ValueId as_image(Call& c, ValueId x) {
  const Shape shape = c.shape_of(x);
  if (shape.rank() != 3) return x;
  return c.reshape(x, {shape[0], shape[1], 1, shape[2]});
}

ValueId from_image(Call& c, ValueId y, std::size_t rank) {
  const Shape shape = c.shape_of(y);
  if (rank != 3 || shape.rank() != 4) return y;
  return c.reshape(y, {shape[0], shape[1], shape[3]});
}

}  // namespace trainyard::graph::onnx_file
