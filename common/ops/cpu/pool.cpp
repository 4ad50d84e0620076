#include <cstring>

#include "common/ops/cpu/onednn.hpp"

namespace trainyard::ops::cpu {
namespace {

using Forward = dnnl::pooling_forward;
using Backward = dnnl::pooling_backward;

dnnl::algorithm algorithm(Kind kind) {
  const bool max = kind == Kind::max_pool || kind == Kind::max_pool_grad;
  return max ? dnnl::algorithm::pooling_max : dnnl::algorithm::pooling_avg_exclude_padding;
}

Forward::primitive_desc forward(const Operation& op, const Desc& x, const Shape& y, bool training) {
  const auto& a = op.attributes;
  const auto kind = training ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference;
  return {Forward::desc(kind, algorithm(op.kind), x, any_desc(y), {a.stride, a.stride},
                        {a.kernel_height, a.kernel_width}, {0, 0}, {0, 0}),
          attributes(), engine()};
}

/// The layout of what the gradient needs: the input's place, and for a maximum the index in each window.
LayoutPtr where_layout(const Forward::primitive_desc& pd) {
  return layout_of(pd.workspace_desc(), pd.src_desc());
}

class Flatten final : public ArrangedKernel {
 public:
  explicit Flatten(const Operation& op) {
    const Desc from = desc_of(op.inputs[0]);
    const Desc to = plain_desc(op.inputs[0].shape);
    bytes_ = to.get_size();
    outputs_ = {layout_of(plain_desc(op.outputs[0]))};
    input(0, 0, from, to);
    output(1, 0, to);
  }

 private:
  void compute() override { std::memcpy(data(1), data(0), bytes_); }
  std::size_t bytes_ = 0;
};

}  // namespace

std::unique_ptr<Kernel> pool(const Operation& op) {
  const bool training = op.attributes.workspace;
  const auto pd = forward(op, desc_of(op.inputs[0]), op.outputs[0], training);
  std::vector<LayoutPtr> outputs{layout_of(pd.dst_desc())};
  if (training) outputs.push_back(where_layout(pd));
  auto kernel = std::make_unique<PrimitiveKernel>(pd, Forward(pd), outputs);
  kernel->input(DNNL_ARG_SRC, 0, pd.src_desc());
  kernel->output(DNNL_ARG_DST, 0, pd.dst_desc());
  if (training && pd.workspace_desc().get_size() > 0)
    kernel->output(DNNL_ARG_WORKSPACE, 1, pd.workspace_desc());
  return kernel;
}

std::unique_ptr<Kernel> pool_grad(const Operation& op) {
  const auto* where = dynamic_cast<const BlockedLayout*>(op.inputs[1].layout.get());
  check(where != nullptr, "a pool's gradient gets what its forward kept");
  const Desc& x = where->source;
  const auto hint = forward(op, x, op.inputs[0].shape, true);
  const auto& a = op.attributes;
  const Backward::primitive_desc pd(
      Backward::desc(algorithm(op.kind), x, hint.dst_desc(), {a.stride, a.stride},
                     {a.kernel_height, a.kernel_width}, {0, 0}, {0, 0}),
      attributes(), engine(), hint);
  auto kernel = std::make_unique<PrimitiveKernel>(pd, Backward(pd), std::vector{layout_of(x)});
  kernel->input(DNNL_ARG_DIFF_DST, 0, desc_of(op.inputs[0]), pd.diff_dst_desc());
  if (hint.workspace_desc().get_size() > 0) kernel->input(DNNL_ARG_WORKSPACE, 1, hint.workspace_desc());
  kernel->output(DNNL_ARG_DIFF_SRC, 0, x);
  return kernel;
}

std::unique_ptr<Kernel> flatten(const Operation& op) { return std::make_unique<Flatten>(op); }

}  // namespace trainyard::ops::cpu
