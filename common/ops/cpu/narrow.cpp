// Linear maps of bf16 operands by oneDNN: products of 16 bits, sums and results in f32. Where it has none for
// a shape or a processor it throws, and the backend widens the operands instead.
#include "common/ops/cpu/onednn.hpp"

namespace trainyard::ops::cpu {
namespace {

using Product = dnnl::matmul;
constexpr auto kDirect = dnnl::algorithm::convolution_direct;
constexpr auto kBf16 = dnnl::memory::data_type::bf16;

Desc any_narrow(const Shape& shape) { return Desc(shape.dims(), kBf16, Tag::any); }
Desc plain_narrow(const Shape& shape) { return with_type(plain_desc(shape), DType::bf16); }

/// As the operand lies.
Desc narrow_desc(const Operand& operand) {
  const auto* blocked = dynamic_cast<const BlockedLayout*>(operand.layout.get());
  return blocked != nullptr ? blocked->desc : plain_narrow(operand.shape);
}

struct Geometry {
  Geometry(const Attributes& a, const Shape& image, const Shape& weight, const Shape& result)
      : x(image),
        w(weight),
        y(result),
        stride{a.stride_height, a.stride_width},
        dilation{a.dilation_height - 1, a.dilation_width - 1},
        begin{a.pad_top, a.pad_left},
        end{a.pad_bottom, a.pad_right} {
    if (a.groups > 1) w = Shape{a.groups, weight[0] / a.groups, weight[1], weight[2], weight[3]};
  }
  Shape x, w, y;
  dnnl::memory::dims stride, dilation, begin, end;
};

dnnl::convolution_forward::primitive_desc forward(const Geometry& g, const Desc& y, bool bias,
                                                  const dnnl::primitive_attr& attr = attributes()) {
  using Forward = dnnl::convolution_forward;
  const auto kind = dnnl::prop_kind::forward_training;
  const Desc x = any_narrow(g.x), w = any_narrow(g.w), b = plain_desc({g.y[1]});
  return bias ? described<Forward>(attr, kind, kDirect, x, w, b, y, g.stride, g.dilation, g.begin, g.end)
              : described<Forward>(attr, kind, kDirect, x, w, y, g.stride, g.dilation, g.begin, g.end);
}

std::unique_ptr<Kernel> convolution(const Operation& op) {
  const bool bias = present(op.inputs, 2);
  const Geometry g(op.attributes, op.inputs[0].shape, op.inputs[1].shape, op.outputs[0].shape);
  const auto pd = forward(g, any_desc(g.y), bias, attributes(op));
  auto kernel = std::make_unique<PrimitiveKernel>(pd, dnnl::convolution_forward(pd),
                                                  std::vector{layout_of(pd.dst_desc())});
  kernel->input(DNNL_ARG_SRC, 0, narrow_desc(op.inputs[0]), pd.src_desc());
  kernel->weights(DNNL_ARG_WEIGHTS, 1, op.inputs[1], plain_narrow(g.w), pd.weights_desc());
  if (bias) kernel->input(DNNL_ARG_BIAS, 2, pd.bias_desc());
  if (present(op.inputs, 3)) kernel->accumulate(3, desc_of(op.inputs[3]), pd.dst_desc());
  kernel->output(DNNL_ARG_DST, 0, pd.dst_desc());
  return kernel;
}

std::unique_ptr<Kernel> convolution_grad_data(const Operation& op) {
  using GradData = dnnl::convolution_backward_data;
  const Geometry g(op.attributes, op.outputs[0].shape, op.inputs[1].shape, op.inputs[0].shape);
  const auto pd =
      described_grad<GradData>(attributes(), forward(g, any_narrow(g.y), false), kDirect, any_desc(g.x),
                               any_narrow(g.w), any_narrow(g.y), g.stride, g.dilation, g.begin, g.end);
  auto kernel =
      std::make_unique<PrimitiveKernel>(pd, GradData(pd), std::vector{layout_of(pd.diff_src_desc())});
  kernel->input(DNNL_ARG_DIFF_DST, 0, narrow_desc(op.inputs[0]), pd.diff_dst_desc());
  kernel->input(DNNL_ARG_WEIGHTS, 1, plain_narrow(g.w), pd.weights_desc());
  kernel->output(DNNL_ARG_DIFF_SRC, 0, pd.diff_src_desc());
  return kernel;
}

std::unique_ptr<Kernel> convolution_grad_weights(const Operation& op) {
  using GradWeights = dnnl::convolution_backward_weights;
  const bool bias = op.outputs.size() > 1;
  const Geometry g(op.attributes, op.inputs[0].shape, op.outputs[0].shape, op.inputs[1].shape);
  if (g.x[1] == 1) return nullptr;  // takes eight times as long as in f32
  const Desc x = any_narrow(g.x), dw = any_desc(g.w), db = plain_desc({g.y[1]}), dy = any_narrow(g.y);
  const auto hint = forward(g, dy, bias);
  const auto pd = bias ? described_grad<GradWeights>(attributes(), hint, kDirect, x, dw, db, dy, g.stride,
                                                     g.dilation, g.begin, g.end)
                       : described_grad<GradWeights>(attributes(), hint, kDirect, x, dw, dy, g.stride,
                                                     g.dilation, g.begin, g.end);
  std::vector<LayoutPtr> outputs{layout_of(plain_desc(op.outputs[0].shape))};
  if (bias) outputs.push_back(layout_of(db));
  auto kernel = std::make_unique<PrimitiveKernel>(pd, GradWeights(pd), outputs);
  kernel->input(DNNL_ARG_SRC, 0, narrow_desc(op.inputs[0]), pd.src_desc());
  kernel->input(DNNL_ARG_DIFF_DST, 1, narrow_desc(op.inputs[1]), pd.diff_dst_desc());
  kernel->output(DNNL_ARG_DIFF_WEIGHTS, 0, pd.diff_weights_desc(), plain_desc(g.w));
  if (bias) kernel->output(DNNL_ARG_DIFF_BIAS, 1, db);
  return kernel;
}

/// [rows, columns] of an operand or result of a dense layer.
Shape rows_of(const Shape& shape, std::int64_t axis) {
  const std::int64_t columns = axis == 1 ? shape.volume(1) : shape[shape.rank() - 1];
  return {columns == 0 ? 0 : shape.elements() / columns, columns};
}

void rows(PrimitiveKernel& kernel, int argument, const Operation& op, std::size_t index) {
  const Operand& operand = op.inputs[index];
  kernel.input(argument, index, narrow_desc(operand), plain_narrow(operand.shape),
               plain_narrow(rows_of(operand.shape, op.attributes.axis)));
}

std::unique_ptr<PrimitiveKernel> product(const Operation& op, const Product::primitive_desc& pd) {
  return std::make_unique<PrimitiveKernel>(pd, Product(pd),
                                           std::vector{layout_of(plain_desc(op.outputs[0].shape))});
}

std::unique_ptr<Kernel> dense_forward(const Operation& op) {
  if (present(op.inputs, 3) && op.inputs[3].shape.rank() > 2) return nullptr;
  const bool bias = present(op.inputs, 2);
  const Shape x = rows_of(op.inputs[0].shape, op.attributes.axis);
  const std::int64_t units = op.inputs[1].shape[0];
  const bool constant = op.inputs[1].constant != nullptr;  // arranged once
  const Desc y = plain_desc({x[0], units}), plain({x[1], units}, kBf16, Tag::ba);
  const Desc w = constant ? Desc({x[1], units}, kBf16, Tag::any) : plain;
  const Desc b({1, units}, dnnl::memory::data_type::f32, Tag::ab);
  const Desc from = plain_narrow(x);
  const auto pd = bias ? described<Product>(attributes(op), from, w, b, y)
                       : described<Product>(attributes(op), from, w, y);
  auto kernel = product(op, pd);
  rows(*kernel, DNNL_ARG_SRC, op, 0);
  kernel->weights(DNNL_ARG_WEIGHTS, 1, op.inputs[1], plain, pd.weights_desc());
  if (bias) kernel->input(DNNL_ARG_BIAS, 2, b);
  if (present(op.inputs, 3)) kernel->accumulate(3, desc_of(op.inputs[3]), y);
  kernel->output(DNNL_ARG_DST, 0, y);
  return kernel;
}

std::unique_ptr<Kernel> dense_backward_data(const Operation& op) {
  // dy is [N, O] or [..., O]: its last axis is that of the units.
  const Shape y = rows_of(op.inputs[0].shape, -1), w = op.inputs[1].shape;
  const Desc dx = plain_desc({y[0], w[1]});
  auto kernel = product(op, described<Product>(attributes(), plain_narrow(y), plain_narrow(w), dx));
  kernel->input(DNNL_ARG_SRC, 0, narrow_desc(op.inputs[0]), plain_narrow(op.inputs[0].shape),
                plain_narrow(y));
  kernel->input(DNNL_ARG_WEIGHTS, 1, plain_narrow(w));
  kernel->output(DNNL_ARG_DST, 0, dx);
  return kernel;
}

std::unique_ptr<Kernel> dense_backward_weights(const Operation& op) {
  using Forward = dnnl::inner_product_forward;
  using GradWeights = dnnl::inner_product_backward_weights;
  const bool bias = op.outputs.size() > 1;
  const Shape& w = op.outputs[0].shape;
  const Desc x = plain_narrow(rows_of(op.inputs[0].shape, op.attributes.axis)),
             dy = plain_narrow(rows_of(op.inputs[1].shape, -1));
  const Desc dw = any_desc(w), db = plain_desc({w[0]});
  const auto kind = dnnl::prop_kind::forward_training;
  const auto hint = bias ? described<Forward>(attributes(), kind, x, any_narrow(w), db, dy)
                         : described<Forward>(attributes(), kind, x, any_narrow(w), dy);
  const auto pd = bias ? described_grad<GradWeights>(attributes(), hint, x, dw, db, dy)
                       : described_grad<GradWeights>(attributes(), hint, x, dw, dy);
  std::vector<LayoutPtr> outputs{layout_of(plain_desc(w))};
  if (bias) outputs.push_back(layout_of(db));
  auto kernel = std::make_unique<PrimitiveKernel>(pd, GradWeights(pd), outputs);
  rows(*kernel, DNNL_ARG_SRC, op, 0);
  kernel->input(DNNL_ARG_DIFF_DST, 1, narrow_desc(op.inputs[1]), plain_narrow(op.inputs[1].shape), dy);
  kernel->output(DNNL_ARG_DIFF_WEIGHTS, 0, pd.diff_weights_desc(), plain_desc(w));
  if (bias) kernel->output(DNNL_ARG_DIFF_BIAS, 1, db);
  return kernel;
}

}  // namespace

std::unique_ptr<Kernel> narrow_kernel(const Operation& op) {
  for (std::size_t i = 0; i < 2; ++i)
    if (op.inputs[i].type != DType::bf16 || op.inputs[i].shape.elements() == 0) return nullptr;
  switch (op.kind) {
    case Kind::conv2d:
      return convolution(op);
    case Kind::conv2d_grad_data:
      return convolution_grad_data(op);
    case Kind::conv2d_grad_weights:
      return convolution_grad_weights(op);
    case Kind::dense:
      return dense_forward(op);
    case Kind::dense_grad_data:
      return dense_backward_data(op);
    case Kind::dense_grad_weights:
      return dense_backward_weights(op);
    case Kind::matmul:
      return matmul(op);
    default:
      return nullptr;
  }
}

}  // namespace trainyard::ops::cpu
