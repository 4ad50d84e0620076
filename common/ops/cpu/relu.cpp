#include "common/ops/cpu/onednn.hpp"

// Elementwise over the bytes of the layout: padding holds zeros, and a rectified zero is zero.
namespace trainyard::ops::cpu {
namespace {

constexpr int kX = 0, kY = 1, kDy = 2, kDx = 3;
constexpr std::int64_t kParallelFloats = 1 << 15;  // below, waking a team costs more than it saves

class Relu final : public ArrangedKernel {
 public:
  explicit Relu(const Operation& op) {
    const Desc& desc = desc_of(op.inputs[0]);
    outputs_ = {layout_of(desc)};
    floats_ = static_cast<std::int64_t>(desc.get_size() / sizeof(float));
    input(kX, 0, desc);
    output(kY, 0, desc);
    in_place_ = 0;
  }

 private:
  void compute() override {
    const float* const x = data(kX);
    float* const y = data(kY);
#pragma omp parallel for simd schedule(static) if (floats_ > kParallelFloats)
    for (std::int64_t i = 0; i < floats_; ++i) y[i] = x[i] < 0.0f ? 0.0f : x[i];
  }
  std::int64_t floats_ = 0;
};

class ReluGrad final : public ArrangedKernel {
 public:
  explicit ReluGrad(const Operation& op) {
    const Desc& desc = desc_of(op.inputs[1]);
    outputs_ = {layout_of(desc)};
    floats_ = static_cast<std::int64_t>(desc.get_size() / sizeof(float));
    input(kY, 1, desc);
    input(kDy, 2, desc_of(op.inputs[2]), desc);
    output(kDx, 0, desc);
    if (desc_of(op.inputs[2]) == desc) in_place_ = 2;
  }

 private:
  void compute() override {
    const float *const y = data(kY), *const dy = data(kDy);
    float* const dx = data(kDx);
#pragma omp parallel for simd schedule(static) if (floats_ > kParallelFloats)
    for (std::int64_t i = 0; i < floats_; ++i) dx[i] = y[i] > 0.0f ? dy[i] : 0.0f;
  }
  std::int64_t floats_ = 0;
};

}  // namespace

std::unique_ptr<Kernel> relu(const Operation& op) { return std::make_unique<Relu>(op); }
std::unique_ptr<Kernel> relu_grad(const Operation& op) { return std::make_unique<ReluGrad>(op); }

}  // namespace trainyard::ops::cpu
