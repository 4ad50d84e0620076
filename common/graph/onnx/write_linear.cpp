// Convolutions, pools, dense layers and matrix products.
#include "common/graph/onnx/writer.hpp"

namespace trainyard::graph::onnx_file {
namespace {

using ops::Function;

void window(onnx::NodeProto& node, const Attributes& a) {
  Writer::set(node, "kernel_shape", std::vector{a.kernel_height, a.kernel_width});
  Writer::set(node, "strides", std::vector{a.stride_height, a.stride_width});
  Writer::set(node, "pads", std::vector{a.pad_top, a.pad_left, a.pad_bottom, a.pad_right});
}

void dilation(onnx::NodeProto& node, const Attributes& a) {
  Writer::set(node, "dilations", std::vector{a.dilation_height, a.dilation_width});
}

/// activation(y + addend), where the operation has them; `make` writes it under the name that it is told.
template <typename Make>
void finished(Writer& w, const Node& at, Make&& make) {
  const bool adds = at.inputs.size() > 3 && at.inputs[3] != kAbsent;
  const bool activates = at.attributes.activation != Function::identity;
  const std::string y = w.name(at.outputs[0]);
  std::string now = adds || activates ? w.fresh() : y;
  make(now);
  if (adds) {
    const std::string sum = activates ? w.fresh() : y;
    w.node("Add", {now, w.name(at.inputs[3])}, {sum});
    now = sum;
  }
  if (activates) write_unary(w, at.attributes.activation, at.attributes, now, y);
}

void conv2d(Writer& w, const Node& at) {
  const std::string bias = at.inputs.size() > 2 ? w.name(at.inputs[2]) : "";
  finished(w, at, [&](const std::string& y) {
    auto& node = w.node("Conv", {w.name(at.inputs[0]), w.name(at.inputs[1]), bias}, {y});
    window(node, at.attributes);
    dilation(node, at.attributes);
    Writer::set(node, "group", at.attributes.groups);
  });
}

/// What the strides leave open of the result's size is output_padding.
void conv_transpose(Writer& w, const Node& at) {
  const Attributes& a = at.attributes;
  const Shape &x = w.shape(at.inputs[0]), &y = w.shape(at.outputs[0]);
  const std::int64_t height =
      (x[2] - 1) * a.stride_height + (a.kernel_height - 1) * a.dilation_height + 1 - a.pad_top - a.pad_bottom;
  const std::int64_t width =
      (x[3] - 1) * a.stride_width + (a.kernel_width - 1) * a.dilation_width + 1 - a.pad_left - a.pad_right;
  auto& node = w.make("ConvTranspose", {w.name(at.inputs[0]), w.name(at.inputs[1])}, at.outputs[0]);
  window(node, a);
  dilation(node, a);
  Writer::set(node, "group", a.groups);
  Writer::set(node, "output_padding", std::vector{y[2] - height, y[3] - width});
}

/// Over the last axis of what has more than two.
void dense_over_last(Writer& w, const Node& at, const std::string& y) {
  const std::string weight = w.turned(at.inputs[1]);
  const bool bias = at.inputs.size() > 2 && at.inputs[2] != kAbsent;
  const std::string product = bias ? w.fresh() : y;
  w.node("MatMul", {w.name(at.inputs[0]), weight}, {product});
  if (bias) w.node("Add", {product, w.name(at.inputs[2])}, {y});
}

void dense(Writer& w, const Node& at) {
  finished(w, at, [&](const std::string& y) {
    const std::size_t rank = w.shape(at.inputs[0]).rank();
    if (at.attributes.axis != 1 && rank > 2) return dense_over_last(w, at, y);
    std::string x = w.name(at.inputs[0]);
    if (rank > 2) x = w.apply("Flatten", {x});
    const std::string bias = at.inputs.size() > 2 ? w.name(at.inputs[2]) : "";
    Writer::set(w.node("Gemm", {x, w.name(at.inputs[1]), bias}, {y}), "transB", std::int64_t{1});
  });
}

std::string last_two_swapped(Writer& w, ValueId id) {
  std::vector<std::int64_t> axes;
  const auto rank = static_cast<std::int64_t>(w.shape(id).rank());
  for (std::int64_t axis = 0; axis < rank - 2; ++axis) axes.push_back(axis);
  axes.push_back(rank - 1);
  axes.push_back(rank - 2);
  return w.transpose(w.name(id), axes);
}

void matmul(Writer& w, const Node& at) {
  const std::string a = at.attributes.transpose_a ? last_two_swapped(w, at.inputs[0]) : w.name(at.inputs[0]);
  const std::string b = at.attributes.transpose_b ? last_two_swapped(w, at.inputs[1]) : w.name(at.inputs[1]);
  w.make("MatMul", {a, b}, at.outputs[0]);
}

Status pool(Writer& w, const Node& at) {
  const Attributes& a = at.attributes;
  const bool largest = at.kind == Kind::max_pool;
  if (!largest && (a.dilation_height > 1 || a.dilation_width > 1))
    return Error{Errc::refused, "an average over a dilated window came later than operator set 17"};
  auto& node = w.make(largest ? "MaxPool" : "AveragePool", {w.name(at.inputs[0])}, at.outputs[0]);
  window(node, a);
  if (largest) dilation(node, a);
  if (!largest && a.count_padding) Writer::set(node, "count_include_pad", std::int64_t{1});
  return {};
}

}  // namespace

Result<bool> write_linear(Writer& w, const Node& at) {
  switch (at.kind) {
    case Kind::conv2d:
      conv2d(w, at);
      return true;
    case Kind::conv2d_grad_data:
      conv_transpose(w, at);
      return true;
    case Kind::dense:
      dense(w, at);
      return true;
    case Kind::matmul:
      matmul(w, at);
      return true;
    case Kind::max_pool:
    case Kind::avg_pool:
      if (const Status done = pool(w, at); !done) return done.error();
      return true;
    default:
      return false;
  }
}

}  // namespace trainyard::graph::onnx_file
