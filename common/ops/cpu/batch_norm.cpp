#include "common/ops/cpu/onednn.hpp"

namespace trainyard::ops::cpu {
namespace {

using Flags = dnnl::normalization_flags;
using Forward = dnnl::batch_normalization_forward;
using Backward = dnnl::batch_normalization_backward;

constexpr int kRunningMean = 1 << 20, kRunningVariance = kRunningMean + 1;  // not oneDNN's numbers
constexpr int kNextMean = kRunningMean + 2, kNextVariance = kRunningMean + 3;

/// A flat activation [N, F] is an image of one pixel, channels last.
Desc image(const Desc& desc) {
  if (desc.dims().size() == 4) return desc;
  const auto dims = desc.dims();
  return Desc({dims[0], dims[1], 1, 1}, dnnl::memory::data_type::f32, Tag::nhwc);
}

/// How x is wanted: as it lies, but a flat one row major.
Desc wanted(const Operand& x) { return x.shape.rank() == 4 ? desc_of(x) : plain_desc(x.shape); }

Forward::primitive_desc forward(const Desc& x, const Attributes& a, bool inference) {
  Flags flags = Flags::use_scale | Flags::use_shift;
  if (inference) flags |= Flags::use_global_stats;
  if (a.function == Function::relu) flags |= Flags::fuse_norm_relu;
  const auto kind = inference ? dnnl::prop_kind::forward_inference : dnnl::prop_kind::forward_training;
  return {Forward::desc(kind, image(x), static_cast<float>(a.epsilon), flags), attributes(), engine()};
}

/// What oneDNN has no normalization for.
bool foreign(const Operation& op) {
  const Function function = op.attributes.function;
  const bool plain = op.inputs.size() <= 5 || op.kind == Kind::batch_norm_grad;
  return op.inputs[0].shape.rank() == 3 || op.inputs[0].shape.rank() > 4 || !plain ||
         op.outputs.size() == 4 || (function != Function::identity && function != Function::relu);
}

/// Also brings the running statistics forward; see Kind::batch_norm_training.
class TrainingKernel final : public ArrangedKernel {
 public:
  explicit TrainingKernel(const Operation& op)
      : shape_(op.inputs[0].shape), momentum_(op.attributes.momentum) {
    const Desc x = wanted(op.inputs[0]);
    const auto pd = forward(x, op.attributes, false);
    primitive_ = Forward(pd);
    scratchpad(pd.scratchpad_desc());
    const Desc per_channel = plain_desc({shape_[1]});
    outputs_ = {layout_of(x), layout_of(per_channel), layout_of(per_channel)};
    input(DNNL_ARG_SRC, 0, desc_of(op.inputs[0]), x, image(x));
    input(DNNL_ARG_SCALE, 1, per_channel);
    input(DNNL_ARG_SHIFT, 2, per_channel);
    input(kRunningMean, 3, per_channel);
    input(kRunningVariance, 4, per_channel);
    output(DNNL_ARG_DST, 0, image(x));
    output(DNNL_ARG_MEAN, 1, per_channel);
    output(DNNL_ARG_VARIANCE, 2, per_channel);
    std::size_t next = 3;
    if (op.attributes.function == Function::relu) {
      output(DNNL_ARG_WORKSPACE, next++, pd.workspace_desc());
      outputs_.push_back(layout_of(pd.workspace_desc()));
    }
    output(kNextMean, next++, per_channel);
    output(kNextVariance, next, per_channel);
    outputs_.push_back(layout_of(per_channel));
    outputs_.push_back(layout_of(per_channel));
  }

 private:
  void compute() override {
    primitive_.execute(stream_, arguments_);
    const auto *mean = data(DNNL_ARG_MEAN), *variance = data(DNNL_ARG_VARIANCE);
    const auto *running_mean = data(kRunningMean), *running_variance = data(kRunningVariance);
    auto *next_mean = data(kNextMean), *next_variance = data(kNextVariance);
    const double count = static_cast<double>(shape_[0]);
    const double values = static_cast<double>(shape_.elements() / shape_[1]);
    const double unbiased = values > 1 ? values / (values - 1) : 1.0;
    for (std::int64_t c = 0; c < shape_[1]; ++c) {
      const double keep = 1.0 - momentum_;
      next_mean[c] = static_cast<float>(count * (keep * running_mean[c] + momentum_ * mean[c]));
      next_variance[c] =
          static_cast<float>(count * (keep * running_variance[c] + momentum_ * unbiased * variance[c]));
    }
  }
  Shape shape_;
  double momentum_;
  dnnl::primitive primitive_;
};

}  // namespace

std::unique_ptr<Kernel> batch_norm_training(const Operation& op) {
  if (foreign(op)) return fallback(op);
  return std::make_unique<TrainingKernel>(op);
}

std::unique_ptr<Kernel> batch_norm(const Operation& op) {
  if (foreign(op)) return fallback(op);
  const Desc x = wanted(op.inputs[0]);
  const auto pd = forward(x, op.attributes, true);
  const Desc per_channel = plain_desc({x.dims()[1]});
  auto kernel = std::make_unique<PrimitiveKernel>(pd, Forward(pd), std::vector{layout_of(x)});
  kernel->input(DNNL_ARG_SRC, 0, desc_of(op.inputs[0]), x, image(x));
  kernel->input(DNNL_ARG_SCALE, 1, per_channel);
  kernel->input(DNNL_ARG_SHIFT, 2, per_channel);
  kernel->input(DNNL_ARG_MEAN, 3, per_channel);
  kernel->input(DNNL_ARG_VARIANCE, 4, per_channel);
  kernel->output(DNNL_ARG_DST, 0, image(x));
  return kernel;
}

std::unique_ptr<Kernel> batch_norm_grad(const Operation& op) {
  if (foreign(op)) return fallback(op);
  const Desc x = wanted(op.inputs[0]);
  const bool relu = op.attributes.function == Function::relu;
  Flags flags = Flags::use_scale | Flags::use_shift;
  if (relu) flags |= Flags::fuse_norm_relu;
  const Backward::primitive_desc pd(Backward::desc(dnnl::prop_kind::backward, image(x), image(x),
                                                   static_cast<float>(op.attributes.epsilon), flags),
                                    attributes(), engine(), forward(x, op.attributes, false));
  const Desc per_channel = plain_desc({x.dims()[1]});
  auto kernel = std::make_unique<PrimitiveKernel>(
      pd, Backward(pd), std::vector{layout_of(x), layout_of(per_channel), layout_of(per_channel)});
  kernel->input(DNNL_ARG_SRC, 0, desc_of(op.inputs[0]), x, image(x));
  kernel->input(DNNL_ARG_DIFF_DST, 1, desc_of(op.inputs[1]), x, image(x));
  kernel->input(DNNL_ARG_MEAN, 2, per_channel);
  kernel->input(DNNL_ARG_VARIANCE, 3, per_channel);
  kernel->input(DNNL_ARG_SCALE, 4, per_channel);
  kernel->input(DNNL_ARG_SHIFT, 4, per_channel);  // counted by oneDNN 2.6, never read: any vector will do
  if (relu) kernel->input(DNNL_ARG_WORKSPACE, 5, pd.workspace_desc());
  kernel->output(DNNL_ARG_DIFF_SRC, 0, image(x));
  kernel->output(DNNL_ARG_DIFF_SCALE, 1, per_channel);
  kernel->output(DNNL_ARG_DIFF_SHIFT, 2, per_channel);
  return kernel;
}

}  // namespace trainyard::ops::cpu
