#include <algorithm>
#include <cmath>

#include "common/ops/cpu/onednn.hpp"

// A few kilobytes: one thread, one pass a row. The row's maximum is taken off, so no exponent overflows.
namespace trainyard::ops::cpu {
namespace {

/// p = exp(x - max) / sum; returns log(sum) + max, the logarithm of the partition.
double softmax_row(const float* x, float* p, std::int64_t classes) {
  const float top = *std::max_element(x, x + classes);
  double sum = 0;
  for (std::int64_t k = 0; k < classes; ++k) {
    p[k] = std::exp(x[k] - top);
    sum += p[k];
  }
  const float scale = static_cast<float>(1.0 / sum);
  for (std::int64_t k = 0; k < classes; ++k) p[k] *= scale;
  return std::log(sum) + top;
}

Shape rows(const Shape& x) { return {x[0], x.elements() / x[0]}; }

/// labels and the outcome are not arranged, so they pass beside the memories.
class CrossEntropy final : public Kernel {
 public:
  explicit CrossEntropy(const Operation& op) : shape_(rows(op.inputs[0].shape)) {
    const Desc plain = plain_desc(op.inputs[0].shape);
    bytes_ = plain.get_size();
    arrange_ = reshape({Kind::reshape, {}, {op.inputs[0]}, {op.inputs[0].shape}});
    outputs_ = {layout_of(plain), std::make_shared<RawLayout>(sizeof(Outcome))};
    scratch_bytes_ = arrange_->scratch_bytes() + bytes_;
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    void* const plain = static_cast<std::byte*>(scratch) + arrange_->scratch_bytes();
    arrange_->run({&inputs[0], 1}, {&plain, 1}, scratch);
    const auto* x = static_cast<const float*>(plain);
    const auto* labels = static_cast<const std::int32_t*>(inputs[1]);
    auto* dx = static_cast<float*>(outputs[0]);
    Outcome outcome;
    for (std::int64_t n = 0; n < shape_[0]; ++n, x += shape_[1], dx += shape_[1]) {
      const auto label = labels[n];
      check(label >= 0 && label < shape_[1], "a label is below the number of classes");
      outcome.loss_sum += softmax_row(x, dx, shape_[1]) - x[label];
      outcome.weight_sum += 1;
      outcome.correct += std::max_element(x, x + shape_[1]) - x == label ? 1 : 0;
      dx[label] -= 1.0f;
    }
    *static_cast<Outcome*>(outputs[1]) = outcome;
  }

 private:
  Shape shape_;
  std::size_t bytes_ = 0;
  std::unique_ptr<Kernel> arrange_;
};

}  // namespace

std::unique_ptr<Kernel> softmax_cross_entropy(const Operation& op) {
  const Attributes& a = op.attributes;
  const bool plain =
      op.inputs.size() == 2 && a.smoothing == 0 && a.ignore == INT64_MIN && op.inputs[0].shape.rank() == 2;
  if (!plain) return fallback(op);
  return std::make_unique<CrossEntropy>(op);
}

}  // namespace trainyard::ops::cpu
