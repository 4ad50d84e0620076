#include "common/ops/cpu/onednn.hpp"
#include "common/ops/dropout_mask.hpp"

namespace trainyard::ops::cpu {
namespace {

/// Row major: the number of a value within its sample decides whether it is kept.
class Dropout final : public Kernel {
 public:
  explicit Dropout(const Operation& op) : attributes_(op.attributes) {
    const Shape& shape = op.inputs[0].shape;
    count_ = shape[0];
    values_ = shape.elements() / count_;
    outputs_ = {layout_of(plain_desc(shape))};
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void*) override {
    const auto* x = static_cast<const float*>(inputs[0]);
    const auto* keys = static_cast<const std::uint64_t*>(inputs[1]);
    const std::uint64_t step = *static_cast<const std::uint64_t*>(inputs[2]);
    auto* y = static_cast<float*>(outputs[0]);
    const float scale = static_cast<float>(1.0 / (1.0 - attributes_.rate));
#pragma omp parallel for schedule(static)
    for (std::int64_t n = 0; n < count_; ++n) {
      const DropoutMask mask(attributes_.seed, step, keys[n], attributes_.rate);
      for (std::int64_t i = 0; i < values_; ++i) {
        const std::int64_t at = n * values_ + i;
        y[at] = mask.keeps(static_cast<std::uint64_t>(i)) ? x[at] * scale : 0.0f;
      }
    }
  }

 private:
  Attributes attributes_;
  std::int64_t count_ = 0, values_ = 0;
};

/// Brings x into the row-major layout first.
class ArrangedDropout final : public Kernel {
 public:
  explicit ArrangedDropout(const Operation& op)
      : dropout_(op), plain_(plain_desc(op.inputs[0].shape).get_size()) {
    arrange_ = reshape({Kind::reshape, {}, {op.inputs[0]}, {op.inputs[0].shape}});
    outputs_ = dropout_.outputs();
    scratch_bytes_ = arrange_->scratch_bytes() + plain_;
  }
  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    void* const plain = static_cast<std::byte*>(scratch) + arrange_->scratch_bytes();
    arrange_->run({&inputs[0], 1}, {&plain, 1}, scratch);
    void* const arranged[] = {plain, inputs[1], inputs[2]};
    dropout_.run(arranged, outputs, nullptr);
  }

 private:
  Dropout dropout_;
  std::unique_ptr<Kernel> arrange_;
  std::size_t plain_;
};

}  // namespace

std::unique_ptr<Kernel> dropout(const Operation& op) {
  if (desc_of(op.inputs[0]) == plain_desc(op.inputs[0].shape)) return std::make_unique<Dropout>(op);
  return std::make_unique<ArrangedDropout>(op);
}

}  // namespace trainyard::ops::cpu
