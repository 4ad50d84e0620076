// The weights' gradient of a convolution, with the same bits for any number of threads: the batch is cut into
// chunks that follow from the shapes alone, each is the work of one thread, and their sums are added in
// order.
#include "common/ops/cpu/one_thread.hpp"
#include "common/ops/cpu/onednn.hpp"
#include "common/ops/cpu/parallel.hpp"

namespace trainyard::ops::cpu {
namespace {

using Forward = dnnl::convolution_forward;
using GradWeights = dnnl::convolution_backward_weights;
using Dims = dnnl::memory::dims;

constexpr auto kDirect = dnnl::algorithm::convolution_direct;
constexpr std::int64_t kChunks = 8, kChunksOfLarge = 4;
constexpr std::int64_t kLargeFloats = 1 << 20;
enum Scratch : int { kPartWeights = 1000, kPartBias, kPad };

struct Geometry {
  Desc x, w, b, y;
  bool bias = false;
  Dims stride, dilation, begin, end;

  GradWeights::primitive_desc prepare() const {
    const auto kind = dnnl::prop_kind::forward_training;
    if (!bias)
      return described_grad<GradWeights>(
          attributes(),
          described<Forward>(attributes(), kind, kDirect, x, w, y, stride, dilation, begin, end), kDirect, x,
          w, y, stride, dilation, begin, end);
    return described_grad<GradWeights>(
        attributes(),
        described<Forward>(attributes(), kind, kDirect, x, w, b, y, stride, dilation, begin, end), kDirect, x,
        w, b, y, stride, dilation, begin, end);
  }
};

/// The first samples of a tensor, as they lie in the whole.
Desc samples(const Desc& whole, std::int64_t count) {
  Dims dims = dims_of(whole);
  Dims from(dims.size(), 0);
  dims[0] = count;
  return whole.submemory_desc(dims, from);
}

std::size_t floats_a_sample(const Desc& whole) {
  return whole.get_size() / sizeof(float) / static_cast<std::size_t>(dims_of(whole)[0]);
}

class ChunkedGradWeights final : public ArrangedKernel {
 public:
  explicit ChunkedGradWeights(const Operation& op) {
    const bool bias = op.outputs.size() > 1;
    const Attributes& a = op.attributes;
    const Shape &x = op.inputs[0].shape, &y = op.inputs[1].shape;
    Shape w = op.outputs[0].shape;
    if (a.groups > 1) w = Shape{a.groups, w[0] / a.groups, w[1], w[2], w[3]};
    const Desc db = plain_desc({y[1]});
    const OneThread alone;  // what is prepared meanwhile works on one thread, whoever runs it
    Geometry geometry{any_desc(x),
                      any_desc(w),
                      db,
                      any_desc(y),
                      bias,
                      {a.stride_height, a.stride_width},
                      {a.dilation_height - 1, a.dilation_width - 1},
                      {a.pad_top, a.pad_left},
                      {a.pad_bottom, a.pad_right}};
    const auto whole = geometry.prepare();
    const Desc src = whole.src_desc(), dst = whole.diff_dst_desc(), weights = whole.diff_weights_desc();
    x_floats_ = floats_a_sample(src);
    y_floats_ = floats_a_sample(dst);
    weight_floats_ = weights.get_size() / sizeof(float);
    bias_floats_ = bias ? static_cast<std::size_t>(y[1]) : 0;
    cut(x[0], w.elements() > kLargeFloats ? kChunksOfLarge : kChunks);
    for (Chunk& chunk : chunks_) {
      geometry.x = samples(src, chunk.count);
      geometry.w = weights;
      geometry.y = samples(dst, chunk.count);
      const auto pd = geometry.prepare();
      chunk.stream = dnnl::stream(engine());
      const auto memory = [](const Desc& desc) { return dnnl::memory(desc, engine(), nullptr); };
      chunk.arguments = {{DNNL_ARG_SRC, memory(pd.src_desc())},
                         {DNNL_ARG_DIFF_DST, memory(pd.diff_dst_desc())},
                         {DNNL_ARG_DIFF_WEIGHTS, memory(pd.diff_weights_desc())},
                         {DNNL_ARG_SCRATCHPAD, memory(pd.scratchpad_desc())}};
      if (bias) chunk.arguments.emplace(DNNL_ARG_DIFF_BIAS, memory(db));
      chunk.call = PrimitiveCall(GradWeights(pd), chunk.arguments);
      pad_floats_ = std::max(pad_floats_, tensor::aligned(pd.scratchpad_desc().get_size()) / sizeof(float));
    }
    part_floats_ = tensor::aligned(weight_floats_ * sizeof(float)) / sizeof(float);
    const std::size_t others = chunks_.size() - 1;
    if (others > 0) scratch(kPartWeights, others * part_floats_);
    if (others > 0 && bias) scratch(kPartBias, others * bias_floats_);
    if (pad_floats_ > 0) scratch(kPad, chunks_.size() * pad_floats_);
    input(DNNL_ARG_SRC, 0, desc_of(op.inputs[0]), src);
    input(DNNL_ARG_DIFF_DST, 1, desc_of(op.inputs[1]), dst);
    output(DNNL_ARG_DIFF_WEIGHTS, 0, weights, plain_desc(w));
    outputs_ = {layout_of(plain_desc(op.outputs[0].shape))};
    if (!bias) return;
    output(DNNL_ARG_DIFF_BIAS, 1, db);
    outputs_.push_back(layout_of(db));
  }

 private:
  struct Chunk {
    std::int64_t first = 0, count = 0;
    dnnl::stream stream;
    std::unordered_map<int, dnnl::memory> arguments;
    PrimitiveCall call;  // of them
  };

  void cut(std::int64_t batch, std::int64_t most) {
    const std::int64_t count = std::min(batch, most);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t first = batch * i / count;
      chunks_.push_back({first, batch * (i + 1) / count - first, {}, {}, {}});
    }
  }

  void compute() override {
    auto* const x = data(DNNL_ARG_SRC);
    auto* const dy = data(DNNL_ARG_DIFF_DST);
    auto* const dw = data(DNNL_ARG_DIFF_WEIGHTS);
    auto* const db = bias_floats_ > 0 ? data(DNNL_ARG_DIFF_BIAS) : nullptr;
    const std::size_t count = chunks_.size();
    float* const parts = count > 1 ? data(kPartWeights) : nullptr;
    float* const bias_parts = count > 1 && db != nullptr ? data(kPartBias) : nullptr;
    float* const pads = pad_floats_ > 0 ? data(kPad) : nullptr;
#pragma omp parallel for schedule(static)
    for (std::size_t i = 0; i < count; ++i) {
      Chunk& chunk = chunks_[i];
      const auto first = static_cast<std::size_t>(chunk.first);
      const auto point = [&](int argument, float* at) {
        dnnl::memory& memory = chunk.arguments.at(argument);
        if (memory.get_data_handle() != at) memory.set_data_handle(at);
      };
      point(DNNL_ARG_SRC, x + first * x_floats_);
      point(DNNL_ARG_DIFF_DST, dy + first * y_floats_);
      point(DNNL_ARG_DIFF_WEIGHTS, i == 0 ? dw : parts + (i - 1) * part_floats_);
      point(DNNL_ARG_SCRATCHPAD, pads + i * pad_floats_);
      if (db != nullptr) point(DNNL_ARG_DIFF_BIAS, i == 0 ? db : bias_parts + (i - 1) * bias_floats_);
      chunk.call(chunk.stream);
    }
    if (count == 1) return;
    const auto floats = static_cast<std::int64_t>(weight_floats_);
    in_pieces(floats, 16, floats * static_cast<std::int64_t>(count),
              [&](std::int64_t begin, std::int64_t end) { add(dw, parts, part_floats_, begin, end); });
    if (db != nullptr) add(db, bias_parts, bias_floats_, 0, static_cast<std::int64_t>(bias_floats_));
  }

  void add(float* sum, const float* parts, std::size_t step, std::int64_t begin, std::int64_t end) const {
    for (std::size_t part = 0; part + 1 < chunks_.size(); ++part)
      for (std::int64_t i = begin; i < end; ++i) sum[i] += parts[part * step + static_cast<std::size_t>(i)];
  }

  std::vector<Chunk> chunks_;
  std::size_t x_floats_ = 0, y_floats_ = 0;  // of a sample
  std::size_t weight_floats_ = 0, part_floats_ = 0, bias_floats_ = 0, pad_floats_ = 0;
};

}  // namespace

std::unique_ptr<Kernel> conv2d_grad_weights_in_chunks(const Operation& op) {
  return std::make_unique<ChunkedGradWeights>(op);
}

}  // namespace trainyard::ops::cpu
