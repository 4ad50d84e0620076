// Layer normalization row by row; the sums over the rows are taken in pieces that the shape alone decides.
#include "common/ops/cpu/arrangement.hpp"
#include "common/ops/cpu/lanes/table.hpp"
#include "common/ops/cpu/parallel.hpp"

namespace trainyard::ops::cpu {
namespace {

constexpr std::int64_t kPiecesMax = 64;
constexpr std::int64_t kPieceRows = 16;

struct Rows {
  Rows(const Shape& x, std::int64_t axis)
      : count(x.volume(0, static_cast<std::size_t>(axis))), width(x.volume(static_cast<std::size_t>(axis))) {}
  std::int64_t count, width;
};

const float* optional(std::span<void* const> operands, std::size_t index) {
  return index < operands.size() ? static_cast<const float*>(operands[index]) : nullptr;
}

class LayerNorm final : public Kernel {
 public:
  explicit LayerNorm(const Operation& op)
      : rows_(op.inputs[0].shape, op.attributes.axis), epsilon_(static_cast<float>(op.attributes.epsilon)) {
    for (const Signature& of : op.outputs) outputs_.push_back(plain_layout(of.shape, DType::f32));
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const auto* const x = static_cast<const float*>(inputs[0]);
    const float *const gamma = optional(inputs, 1), *const beta = optional(inputs, 2);
    auto *const y = static_cast<float*>(outputs[0]), *const mean = static_cast<float*>(outputs[1]),
                *const inverse = static_cast<float*>(outputs[2]);
    in_pieces(rows_.count, 16, rows_.count * rows_.width, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r)
        lanes::table().normalize_row(x + r * rows_.width, rows_.width, epsilon_, gamma, beta,
                                     y + r * rows_.width, mean + r, inverse + r);
    });
  }

 private:
  const Rows rows_;
  const float epsilon_;
};

class LayerNormGrad final : public Kernel {
 public:
  explicit LayerNormGrad(const Operation& op)
      : rows_(op.inputs[0].shape, op.attributes.axis),
        piece_(std::max(kPieceRows, (rows_.count + kPiecesMax - 1) / kPiecesMax)),
        pieces_((rows_.count + piece_ - 1) / piece_),
        sums_(static_cast<std::int64_t>(op.outputs.size()) - 1) {
    for (const Signature& of : op.outputs) outputs_.push_back(plain_layout(of.shape, DType::f32));
    scratch_bytes_ = static_cast<std::size_t>(pieces_ * sums_ * rows_.width) * sizeof(float);
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    const auto *const x = static_cast<const float*>(inputs[0]),
                      *const dy = static_cast<const float*>(inputs[1]),
                      *const mean = static_cast<const float*>(inputs[2]),
                      *const inverse = static_cast<const float*>(inputs[3]);
    const float* const gamma = optional(inputs, 4);
    auto* const dx = static_cast<float*>(outputs[0]);
    auto* const partial = static_cast<float*>(scratch);
    const std::int64_t width = rows_.width, floats = rows_.count * width;
    in_pieces(pieces_, 1, floats, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t piece = begin; piece < end; ++piece) {
        float* const sums = partial + piece * sums_ * width;
        std::fill_n(sums, sums_ * width, 0.0f);
        for (std::int64_t r = piece * piece_; r < std::min(rows_.count, (piece + 1) * piece_); ++r)
          lanes::table().normalize_row_grad(x + r * width, dy + r * width, width, mean[r], inverse[r], gamma,
                                            dx + r * width, sums_ > 0 ? sums : nullptr,
                                            sums_ > 1 ? sums + width : nullptr);
      }
    });
    for (std::int64_t k = 0; k < sums_; ++k) {
      auto* const to = static_cast<float*>(outputs[static_cast<std::size_t>(k + 1)]);
      for (std::int64_t i = 0; i < width; ++i) {
        double sum = 0;
        for (std::int64_t piece = 0; piece < pieces_; ++piece)
          sum += static_cast<double>(partial[(piece * sums_ + k) * width + i]);
        to[i] = static_cast<float>(sum);
      }
    }
  }

 private:
  const Rows rows_;
  const std::int64_t piece_, pieces_;
  const std::int64_t sums_;  // dgamma, dbeta: how many of them
};

}  // namespace

std::unique_ptr<Kernel> layer_norm_kernel(const Operation& op) {
  if (op.kind != Kind::layer_norm && op.kind != Kind::layer_norm_grad) return nullptr;
  if (op.outputs[0].type != DType::f32 || op.outputs[0].shape.elements() == 0) return nullptr;
  if (op.kind == Kind::layer_norm) return over_arranged(op, std::make_unique<LayerNorm>(op), {});
  return over_arranged(op, std::make_unique<LayerNormGrad>(op), {});
}

}  // namespace trainyard::ops::cpu
