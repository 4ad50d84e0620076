#include <cstring>

#include "common/ops/cpu/onednn.hpp"

namespace trainyard::ops::cpu {
namespace {

using Forward = dnnl::pooling_forward;
using Backward = dnnl::pooling_backward;

dnnl::algorithm algorithm(const Operation& op) {
  if (op.kind == Kind::max_pool || op.kind == Kind::max_pool_grad) return dnnl::algorithm::pooling_max;
  return op.attributes.count_padding ? dnnl::algorithm::pooling_avg_include_padding
                                     : dnnl::algorithm::pooling_avg_exclude_padding;
}

struct Window {
  explicit Window(const Attributes& a)
      : stride{a.stride_height, a.stride_width},
        kernel{a.kernel_height, a.kernel_width},
        begin{a.pad_top, a.pad_left},
        end{a.pad_bottom, a.pad_right} {}
  dnnl::memory::dims stride, kernel, begin, end;
};

bool dilated(const Operation& op) {
  return op.attributes.dilation_height != 1 || op.attributes.dilation_width != 1;
}

Forward::primitive_desc forward(const Operation& op, const Desc& x, const Shape& y, bool training) {
  const Window w(op.attributes);
  const auto kind = training ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference;
  return described_pool<Forward>(attributes(), kind, algorithm(op), x, any_desc(y), w.stride, w.kernel,
                                 w.begin, w.end);
}

/// The layout of what the gradient needs: the input's place, and for a maximum the index in each window.
LayoutPtr where_layout(const Forward::primitive_desc& pd) {
  return layout_of(pd.workspace_desc(), pd.src_desc());
}

/// A reorder into the row-major layout.
class Rows final : public ArrangedKernel {
 public:
  explicit Rows(const Operation& op) {
    const DType type = op.inputs[0].type;
    const Desc from = to_move(desc_of(op.inputs[0]), type),
               to = to_move(plain_desc(op.inputs[0].shape), type);
    bytes_ = to.get_size();
    outputs_ = {plain_layout(op.outputs[0].shape, type)};
    input(0, 0, from, to);
    output(1, 0, to);
  }

 private:
  void compute() override { std::memcpy(data(1), data(0), bytes_); }
  std::size_t bytes_ = 0;
};

/// Row-major values stay where they are, or are copied when the caller wants them elsewhere.
class View final : public Kernel {
 public:
  explicit View(const Operation& op) : bytes_(op.inputs[0].layout->bytes) {
    outputs_ = {plain_layout(op.outputs[0].shape, op.inputs[0].type)};
    view_ = true;
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    std::memcpy(outputs[0], inputs[0], bytes_);
  }

 private:
  std::size_t bytes_;
};

}  // namespace

std::unique_ptr<Kernel> pool(const Operation& op) {
  if (dilated(op)) return fallback(op);
  const bool training = op.attributes.workspace;
  const auto pd = forward(op, desc_of(op.inputs[0]), op.outputs[0].shape, training);
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
  if (dilated(op)) return fallback(op);
  const auto* where = dynamic_cast<const BlockedLayout*>(op.inputs[1].layout.get());
  check(where != nullptr, "a pool's gradient gets what its forward kept");
  const Desc& x = where->source;
  const auto hint = forward(op, x, op.inputs[0].shape, true);
  const Window w(op.attributes);
  const auto pd = described_pool_grad<Backward>(attributes(), hint, algorithm(op), x, hint.dst_desc(),
                                                w.stride, w.kernel, w.begin, w.end);
  auto kernel = std::make_unique<PrimitiveKernel>(pd, Backward(pd), std::vector{layout_of(x)});
  kernel->input(DNNL_ARG_DIFF_DST, 0, desc_of(op.inputs[0]), pd.diff_dst_desc());
  if (hint.workspace_desc().get_size() > 0) kernel->input(DNNL_ARG_WORKSPACE, 1, hint.workspace_desc());
  kernel->output(DNNL_ARG_DIFF_SRC, 0, x);
  return kernel;
}

std::unique_ptr<Kernel> reshape(const Operation& op) {
  if (is_plain(op.inputs[0])) return std::make_unique<View>(op);
  return std::make_unique<Rows>(op);
}

}  // namespace trainyard::ops::cpu
