// Convolutions and matrix products.
#include <algorithm>

#include "common/graph/onnx/operators.hpp"
#include "common/graph/onnx/window.hpp"

namespace trainyard::graph::onnx_file {
namespace {

bool reals(Call& c, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i)
    if (!c.require(!c.has(i) || c.real(i), "needs real numbers, and gets {} as input {}", name_of(c.type(i)),
                   i))
      return false;
  return c.ok();
}

/// [C] beside an image.
ValueId add_per_channel(Call& c, ValueId y, ValueId bias) {
  const Shape shape = c.shape_of(bias);
  if (!c.require(shape.rank() == 1, "a bias of {}; one number for each channel is needed", shape.text()))
    return y;
  return c.binary(Arithmetic::add, y, c.reshape(bias, {shape[0], 1, 1}));
}

void conv(Call& c) {
  if (!reals(c, 3)) return;
  const std::size_t rank = c.shape(0).rank();
  const Sides extents = spatial(c, c.shape(0)), kernel = spatial(c, c.shape(1));
  if (!c.require(c.shape(1).rank() == rank, "a weight of {} for {}", c.shape(1).text(), c.shape(0).text()))
    return;
  const Window window = window_of(c, rank - 2, extents, kernel);
  if (!c.require(window.kernel == kernel, "kernel_shape differs from the weight {}", c.shape(1).text()))
    return;
  Attributes a = window.attributes();
  a.groups = c.integer("group", 1, 1);
  std::vector<ValueId> inputs{as_image(c, c.value(0)), as_image(c, c.weight(1))};
  if (c.has(2)) inputs.push_back(c.weight(2, TensorKind::bias));
  c.give(from_image(c, c.add(Kind::conv2d, a, std::move(inputs)), rank));
}

/// Source: ONNX, ConvTranspose: the shape of the output, and where its padding is cut off.
void conv_transpose(Call& c) {
  if (!reals(c, 3)) return;
  const std::size_t rank = c.shape(0).rank(), axes = rank - 2;
  const Sides extents = spatial(c, c.shape(0)), kernel = spatial(c, c.shape(1));
  if (!c.require(c.shape(1).rank() == rank, "a weight of {} for {}", c.shape(1).text(), c.shape(0).text()))
    return;
  const std::string automatic = c.word("auto_pad", "NOTSET");
  const bool same = automatic.starts_with("SAME");
  Window w = window_of(c, axes, extents, kernel);
  const Sides extra = sides(c, "output_padding", axes, 0, 0);
  Sides output = sides(c, "output_shape", axes, 0, 1);
  if (axes == 1) output[0] = output[1] == 0 ? 0 : 1;
  if (!c.require(w.kernel == kernel, "kernel_shape differs from the weight {}", c.shape(1).text())) return;
  Attributes a;
  for (std::size_t i = 0; i < 2; ++i) {
    const std::int64_t added = axes == 1 && i == 0 ? 0 : extra[i];
    const std::int64_t full = (extents[i] - 1) * w.stride[i] + added + (kernel[i] - 1) * w.dilation[i] + 1;
    if (output[i] == 0 && same) output[i] = extents[i] * w.stride[i];
    if (output[i] == 0) {
      output[i] = full - w.before[i] - w.after[i];
    } else {
      const std::int64_t total = std::max<std::int64_t>(0, full - output[i]);
      w.before[i] = automatic == "SAME_UPPER" ? total / 2 : total - total / 2;
      w.after[i] = total - w.before[i];
    }
  }
  a = w.attributes();
  a.dims = {output[0], output[1]};
  a.groups = c.integer("group", 1, 1);
  if (!c.require(output[0] > 0 && output[1] > 0, "gives nothing of {}", c.shape(0).text())) return;
  const ValueId x = as_image(c, c.value(0));
  ValueId y = c.add(Kind::conv2d_grad_data, a, {x, as_image(c, c.weight(1))});
  if (c.has(2)) y = add_per_channel(c, y, c.weight(2, TensorKind::bias));
  c.give(from_image(c, y, rank));
}

/// alpha A B + beta C.
void gemm(Call& c) {
  const double alpha = c.number("alpha", 1), beta = c.number("beta", 1);
  const bool turn_a = c.flag("transA", false), turn_b = c.flag("transB", false);
  if (!reals(c, 3) || !c.require(c.shape(0).rank() == 2 && c.shape(1).rank() == 2,
                                 "of {} and {}; matrices are needed", c.shape(0).text(), c.shape(1).text()))
    return;
  const std::int64_t units = c.shape(1)[turn_b ? 0 : 1];
  const bool plain = alpha == 1 && (beta == 1 || !c.has(2));
  const bool vector = c.has(2) && (c.shape(2) == Shape{units} || c.shape(2) == Shape{1, units});
  bool bias_done = !c.has(2);
  ValueId y = kAbsent, a = c.value(0);
  if (c.known(1) && (turn_b || c.can_turn(1))) {
    if (turn_a) a = c.transpose(a, {1, 0});
    std::vector<ValueId> inputs{a, turn_b ? c.weight(1) : c.turned_weight(1)};
    if (plain && vector) {
      inputs.push_back(c.reshape(c.weight(2, TensorKind::bias), {units}));
      bias_done = true;
    }
    Attributes attributes;
    attributes.axis = 1;
    y = c.add(Kind::dense, attributes, std::move(inputs));
  } else {
    y = c.add(Kind::matmul, {.transpose_a = turn_a, .transpose_b = turn_b}, {a, c.weight(1)});
  }
  if (alpha != 1) y = c.binary(Arithmetic::multiply, y, c.scalar(alpha));
  if (!bias_done) {
    ValueId bias = c.weight(2, vector ? TensorKind::bias : TensorKind::weight);
    if (beta != 1) bias = c.binary(Arithmetic::multiply, bias, c.scalar(beta));
    y = c.binary(Arithmetic::add, y, bias);
  }
  c.give(y);
}

void matmul(Call& c) {
  if (!reals(c, 2)) return;
  const Shape &a_shape = c.shape(0), &b_shape = c.shape(1);
  if (!c.require(a_shape.rank() > 0 && b_shape.rank() > 0, "of {} and {}", a_shape.text(), b_shape.text()))
    return;
  if (a_shape.rank() >= 2 && c.can_turn(1) && !c.known(0)) {
    // The weight of a dense layer; over the last axis of what has more than two.
    Attributes a;
    a.axis = a_shape.rank() == 2 ? 1 : -1;
    const ValueId x = c.value(0);
    return c.give(c.add(Kind::dense, a, {x, c.turned_weight(1)}));
  }
  ValueId a = c.known(0) && !c.known(1) ? c.weight(0) : c.value(0);
  ValueId b = c.known(1) && !c.known(0) ? c.weight(1) : c.value(1);
  if (a_shape.rank() == 1) a = c.reshape(a, {1, a_shape[0]});
  if (b_shape.rank() == 1) b = c.reshape(b, {b_shape[0], 1});
  const ValueId y = c.add(Kind::matmul, {}, {a, b});
  std::vector<std::int64_t> dims = c.shape_of(y).dims();
  if (b_shape.rank() == 1 && !dims.empty()) dims.pop_back();
  if (a_shape.rank() == 1 && !dims.empty()) dims.erase(dims.end() - (b_shape.rank() == 1 ? 1 : 2));
  c.give(c.reshape(y, dims));
}

constexpr Operator operators[] = {
    {"Conv", 1, conv},
    {"ConvTranspose", 1, conv_transpose},
    {"Gemm", 7, gemm},
    {"MatMul", 1, matmul},
};

}  // namespace

std::span<const Operator> linear_operators() { return operators; }

}  // namespace trainyard::graph::onnx_file
