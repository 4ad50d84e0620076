#include "common/ops/cpu/onednn.hpp"

namespace trainyard::ops::cpu {
namespace {

using Forward = dnnl::inner_product_forward;
using GradData = dnnl::inner_product_backward_data;
using GradWeights = dnnl::inner_product_backward_weights;

/// The weight [O, F] seen as [O, C, H, W] when x is an image: then x may stay in its blocked layout.
Shape weight_view(const Shape& x, std::int64_t units) {
  auto dims = x.dims();
  dims[0] = units;
  return Shape(std::move(dims));
}

Forward::primitive_desc forward(const Shape& x, const Shape& w, const Shape& y, bool bias) {
  const auto kind = dnnl::prop_kind::forward_training;
  const auto desc = bias ? Forward::desc(kind, any_desc(x), any_desc(w), plain_desc({w[0]}), any_desc(y))
                         : Forward::desc(kind, any_desc(x), any_desc(w), any_desc(y));
  return {desc, attributes(), engine()};
}

}  // namespace

std::unique_ptr<Kernel> dense(const Operation& op) {
  const bool bias = op.inputs.size() > 2;
  const Shape& x = op.inputs[0].shape;
  const Shape w = weight_view(x, op.outputs[0][1]);
  const auto pd = forward(x, w, op.outputs[0], bias);
  auto kernel = std::make_unique<PrimitiveKernel>(pd, Forward(pd), std::vector{layout_of(pd.dst_desc())});
  kernel->input(DNNL_ARG_SRC, 0, desc_of(op.inputs[0]), pd.src_desc());
  kernel->input(DNNL_ARG_WEIGHTS, 1, plain_desc(w), pd.weights_desc());
  if (bias) kernel->input(DNNL_ARG_BIAS, 2, pd.bias_desc());
  kernel->output(DNNL_ARG_DST, 0, pd.dst_desc());
  return kernel;
}

std::unique_ptr<Kernel> dense_grad_data(const Operation& op) {
  const Shape &x = op.outputs[0], &y = op.inputs[0].shape;
  const Shape w = weight_view(x, y[1]);
  const GradData::primitive_desc pd(GradData::desc(any_desc(x), any_desc(w), any_desc(y)), attributes(),
                                    engine(), forward(x, w, y, false));
  auto kernel =
      std::make_unique<PrimitiveKernel>(pd, GradData(pd), std::vector{layout_of(pd.diff_src_desc())});
  kernel->input(DNNL_ARG_DIFF_DST, 0, desc_of(op.inputs[0]), pd.diff_dst_desc());
  kernel->input(DNNL_ARG_WEIGHTS, 1, plain_desc(w), pd.weights_desc());
  kernel->output(DNNL_ARG_DIFF_SRC, 0, pd.diff_src_desc());
  return kernel;
}

std::unique_ptr<Kernel> dense_grad_weights(const Operation& op) {
  const bool bias = op.outputs.size() > 1;
  const Shape &x = op.inputs[0].shape, &y = op.inputs[1].shape;
  const Shape w = weight_view(x, y[1]);
  const Desc db = plain_desc({y[1]});
  const auto desc = bias ? GradWeights::desc(any_desc(x), any_desc(w), db, any_desc(y))
                         : GradWeights::desc(any_desc(x), any_desc(w), any_desc(y));
  const GradWeights::primitive_desc pd(desc, attributes(), engine(), forward(x, w, y, bias));
  std::vector<LayoutPtr> outputs{layout_of(plain_desc(op.outputs[0]))};
  if (bias) outputs.push_back(layout_of(db));
  auto kernel = std::make_unique<PrimitiveKernel>(pd, GradWeights(pd), outputs);
  kernel->input(DNNL_ARG_SRC, 0, desc_of(op.inputs[0]), pd.src_desc());
  kernel->input(DNNL_ARG_DIFF_DST, 1, desc_of(op.inputs[1]), pd.diff_dst_desc());
  kernel->output(DNNL_ARG_DIFF_WEIGHTS, 0, pd.diff_weights_desc(), plain_desc(w));
  if (bias) kernel->output(DNNL_ARG_DIFF_BIAS, 1, db);
  return kernel;
}

}  // namespace trainyard::ops::cpu
