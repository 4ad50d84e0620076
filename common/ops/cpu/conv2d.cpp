#include "common/ops/cpu/onednn.hpp"

namespace trainyard::ops::cpu {
namespace {

using Forward = dnnl::convolution_forward;
using GradData = dnnl::convolution_backward_data;
using GradWeights = dnnl::convolution_backward_weights;

constexpr auto kDirect = dnnl::algorithm::convolution_direct;

struct Geometry {
  Shape x, w, y;  // w with groups: [groups, O/groups, I/groups, kh, kw]
  std::int64_t units = 0;
  bool bias = false;
  dnnl::memory::dims stride, dilation, begin, end;
};

/// oneDNN counts the gaps of a dilation.
Geometry geometry(const Attributes& a, Shape x, const Shape& w, Shape y, bool bias) {
  Geometry g{std::move(x),
             w,
             std::move(y),
             w[0],
             bias,
             {a.stride_height, a.stride_width},
             {a.dilation_height - 1, a.dilation_width - 1},
             {a.pad_top, a.pad_left},
             {a.pad_bottom, a.pad_right}};
  if (a.groups > 1) g.w = Shape{a.groups, w[0] / a.groups, w[1], w[2], w[3]};
  return g;
}

Forward::primitive_desc forward(const Geometry& g, const dnnl::primitive_attr& attr = attributes()) {
  const auto kind = dnnl::prop_kind::forward_training;
  const Forward::desc desc =
      g.bias ? Forward::desc(kind, kDirect, any_desc(g.x), any_desc(g.w), plain_desc({g.units}),
                             any_desc(g.y), g.stride, g.dilation, g.begin, g.end)
             : Forward::desc(kind, kDirect, any_desc(g.x), any_desc(g.w), any_desc(g.y), g.stride, g.dilation,
                             g.begin, g.end);
  return {desc, attr, engine()};
}

}  // namespace

std::unique_ptr<Kernel> conv2d(const Operation& op) {
  const bool bias = present(op.inputs, 2);
  const auto g = geometry(op.attributes, op.inputs[0].shape, op.inputs[1].shape, op.outputs[0].shape, bias);
  const auto pd = forward(g, attributes(op));
  auto kernel = std::make_unique<PrimitiveKernel>(pd, Forward(pd), std::vector{layout_of(pd.dst_desc())});
  kernel->input(DNNL_ARG_SRC, 0, desc_of(op.inputs[0]), pd.src_desc());
  kernel->weights(DNNL_ARG_WEIGHTS, 1, op.inputs[1], plain_desc(g.w), pd.weights_desc());
  if (bias) kernel->input(DNNL_ARG_BIAS, 2, pd.bias_desc());
  if (present(op.inputs, 3)) kernel->accumulate(3, desc_of(op.inputs[3]), pd.dst_desc());
  kernel->output(DNNL_ARG_DST, 0, pd.dst_desc());
  return kernel;
}

std::unique_ptr<Kernel> conv2d_grad_data(const Operation& op) {
  const auto g = geometry(op.attributes, op.outputs[0].shape, op.inputs[1].shape, op.inputs[0].shape, false);
  const GradData::primitive_desc pd(GradData::desc(kDirect, any_desc(g.x), any_desc(g.w), any_desc(g.y),
                                                   g.stride, g.dilation, g.begin, g.end),
                                    attributes(), engine(), forward(g));
  auto kernel =
      std::make_unique<PrimitiveKernel>(pd, GradData(pd), std::vector{layout_of(pd.diff_src_desc())});
  kernel->input(DNNL_ARG_DIFF_DST, 0, desc_of(op.inputs[0]), pd.diff_dst_desc());
  kernel->input(DNNL_ARG_WEIGHTS, 1, plain_desc(g.w), pd.weights_desc());
  kernel->output(DNNL_ARG_DIFF_SRC, 0, pd.diff_src_desc());
  return kernel;
}

std::unique_ptr<Kernel> conv2d_grad_weights(const Operation& op) {
  const bool bias = op.outputs.size() > 1;
  const auto g = geometry(op.attributes, op.inputs[0].shape, op.outputs[0].shape, op.inputs[1].shape, bias);
  const Desc db = plain_desc({g.units});
  const auto desc = bias ? GradWeights::desc(kDirect, any_desc(g.x), any_desc(g.w), db, any_desc(g.y),
                                             g.stride, g.dilation, g.begin, g.end)
                         : GradWeights::desc(kDirect, any_desc(g.x), any_desc(g.w), any_desc(g.y), g.stride,
                                             g.dilation, g.begin, g.end);
  const GradWeights::primitive_desc pd(desc, attributes(), engine(), forward(g));
  std::vector<LayoutPtr> outputs{layout_of(plain_desc(op.outputs[0].shape))};
  if (bias) outputs.push_back(layout_of(db));
  auto kernel = std::make_unique<PrimitiveKernel>(pd, GradWeights(pd), outputs);
  kernel->input(DNNL_ARG_SRC, 0, desc_of(op.inputs[0]), pd.src_desc());
  kernel->input(DNNL_ARG_DIFF_DST, 1, desc_of(op.inputs[1]), pd.diff_dst_desc());
  kernel->output(DNNL_ARG_DIFF_WEIGHTS, 0, pd.diff_weights_desc(), plain_desc(g.w));
  if (bias) kernel->output(DNNL_ARG_DIFF_BIAS, 1, db);
  return kernel;
}

}  // namespace trainyard::ops::cpu
