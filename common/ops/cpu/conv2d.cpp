#include "common/ops/cpu/onednn.hpp"

namespace trainyard::ops::cpu {
namespace {

using Forward = dnnl::convolution_forward;
using GradData = dnnl::convolution_backward_data;
using GradWeights = dnnl::convolution_backward_weights;

using dnnl::algorithm;
constexpr auto kDirect = algorithm::convolution_direct, kWinograd = algorithm::convolution_winograd;

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

/// Winograd's F(4x4, 3x3) needs a quarter of the multiplications (Lavin and Gray, 2016) and pays for turning
/// tiles and weights around: that is worth it from so many tiles of the batch on. The rule looks at shapes
/// alone, so that every run of a job, and every trainer of it, computes the same bits. Measured on Zen 4 and
/// Sapphire Rapids.
bool winograd(const Geometry& g, std::int64_t channels_min, std::int64_t tiles_min) {
  if (!kHasWinograd || g.w.rank() != 4 || g.w[2] != 3 || g.w[3] != 3) return false;
  const auto all = [](const dnnl::memory::dims& dims, dnnl::memory::dim value) {
    return dims[0] == value && dims[1] == value;
  };
  if (!all(g.stride, 1) || !all(g.dilation, 0) || !all(g.begin, 1) || !all(g.end, 1)) return false;
  const std::int64_t in = g.w[1], out = g.w[0];
  if (in % 16 != 0 || out % 16 != 0 || in < channels_min || out < channels_min) return false;
  return g.y[0] * ((g.y[2] + 3) / 4) * ((g.y[3] + 3) / 4) >= tiles_min;
}
bool winograd(const Geometry& g) { return winograd(g, 32, 48); }

/// An image of as many channels as a block of oneDNN's holds lies the same channels last and in blocks.
constexpr std::int64_t kBlock = 16;
Desc lying(const Shape& image, Tag tag) { return Desc(image.dims(), dnnl::memory::data_type::f32, tag); }

/// From one block of channels to one, oneDNN's blocked kernel stumbles over rows of 2^k pixels, that for
/// channels last does not: 3.5 against 2.7 ms for 3x3 over 64 images of 32x32 on Zen 4. The bytes are the
/// same.
bool channels_last(const Geometry& g) {
  return g.w.rank() == 4 && g.x[1] == kBlock && g.y[1] == kBlock && g.w[2] > 1;
}

Forward::primitive_desc forward(const Geometry& g, algorithm how,
                                const dnnl::primitive_attr& attr = attributes(), bool last = false) {
  const auto kind = dnnl::prop_kind::forward_training;
  const Desc x = last ? lying(g.x, Tag::nhwc) : any_desc(g.x), w = any_desc(g.w),
             y = last ? lying(g.y, Tag::nhwc) : any_desc(g.y);
  if (g.bias)
    return described<Forward>(attr, kind, how, x, w, plain_desc({g.units}), y, g.stride, g.dilation, g.begin,
                              g.end);
  return described<Forward>(attr, kind, how, x, w, y, g.stride, g.dilation, g.begin, g.end);
}

/// What make(algorithm) gives for Winograd where that is wanted and oneDNN has it, else for the direct way.
template <typename Make>
auto best(bool fast, Make make) {
  if (fast) try {
      return make(kWinograd);
    } catch (const dnnl::error&) {
    }
  return make(kDirect);
}

}  // namespace

std::unique_ptr<Kernel> conv2d(const Operation& op) {
  const bool bias = present(op.inputs, 2);
  const auto g = geometry(op.attributes, op.inputs[0].shape, op.inputs[1].shape, op.outputs[0].shape, bias);
  const bool last = channels_last(g);
  const auto pd = best(winograd(g), [&](algorithm how) { return forward(g, how, attributes(op), last); });
  const Desc x = last ? lying(g.x, Tag::nChw16c) : pd.src_desc(),
             y = last ? lying(g.y, Tag::nChw16c) : pd.dst_desc();
  auto kernel = std::make_unique<PrimitiveKernel>(pd, Forward(pd), std::vector{layout_of(y)});
  kernel->input(DNNL_ARG_SRC, 0, desc_of(op.inputs[0]), x, pd.src_desc());
  kernel->weights(DNNL_ARG_WEIGHTS, 1, op.inputs[1], plain_desc(g.w), pd.weights_desc());
  if (bias) kernel->input(DNNL_ARG_BIAS, 2, pd.bias_desc());
  if (present(op.inputs, 3)) kernel->accumulate(3, desc_of(op.inputs[3]), y);
  kernel->output(DNNL_ARG_DST, 0, pd.dst_desc());
  return kernel;
}

std::unique_ptr<Kernel> conv2d_grad_data(const Operation& op) {
  const auto g = geometry(op.attributes, op.outputs[0].shape, op.inputs[1].shape, op.inputs[0].shape, false);
  const auto pd = best(winograd(g), [&](algorithm how) {
    return described_grad<GradData>(attributes(), forward(g, kDirect), how, any_desc(g.x), any_desc(g.w),
                                    any_desc(g.y), g.stride, g.dilation, g.begin, g.end);
  });
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
  const auto pd = best(winograd(g, 16, 16), [&](algorithm how) {
    const Desc x = any_desc(g.x), w = any_desc(g.w), y = any_desc(g.y);
    const auto hint = forward(g, kDirect);
    return bias ? described_grad<GradWeights>(attributes(), hint, how, x, w, db, y, g.stride, g.dilation,
                                              g.begin, g.end)
                : described_grad<GradWeights>(attributes(), hint, how, x, w, y, g.stride, g.dilation, g.begin,
                                              g.end);
  });
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
