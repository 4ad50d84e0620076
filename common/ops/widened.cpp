#include "common/ops/widened.hpp"

#include <algorithm>

#include "common/tensor/buffer.hpp"

namespace trainyard::ops {
namespace {

bool in_16_bits(const Operand& operand) { return operand.type == DType::bf16 || operand.type == DType::f16; }

class Widened final : public Kernel {
 public:
  Status make(const Operation& operation, const Prepare& prepare) {
    Operation wide = operation;
    for (std::size_t i = 0; i < 2; ++i)
      if (in_16_bits(wide.inputs[i]))
        if (const Status done = widen(wide.inputs[i], i, prepare); !done) return done;
    auto inner = prepare(wide);
    if (!inner) return inner.error();
    inner_ = std::move(*inner);
    outputs_ = inner_->outputs();
    if (inner_->in_place() > 1) in_place_ = inner_->in_place();
    std::size_t shared = inner_->scratch_bytes();  // one after the other
    for (const Cast& cast : casts_) shared = std::max(shared, cast.kernel->scratch_bytes());
    shared_ = scratch_bytes_;
    scratch_bytes_ += shared;
    pointers_.resize(operation.inputs.size());
    return {};
  }

  void run(std::span<void* const> inputs, std::span<void* const> outputs, void* scratch) override {
    auto* const area = static_cast<std::byte*>(scratch);
    std::copy(inputs.begin(), inputs.end(), pointers_.begin());
    for (const Cast& cast : casts_) {
      void* const to = area + cast.scratch;
      cast.kernel->run({&inputs[cast.index], 1}, {&to, 1}, area + shared_);
      pointers_[cast.index] = to;
    }
    inner_->run(pointers_, outputs, area + shared_);
  }

 private:
  Status widen(Operand& operand, std::size_t index, const Prepare& prepare) {
    Attributes to;
    to.type = DType::f32;
    auto kernel = prepare({Kind::cast, to, {operand}, {Signature(operand.shape, DType::f32)}, {}});
    if (!kernel) return kernel.error();
    operand.layout = (*kernel)->outputs()[0];
    operand.type = DType::f32;
    operand.constant = nullptr;
    casts_.push_back({index, scratch_bytes_, std::move(*kernel)});
    scratch_bytes_ += tensor::aligned(operand.layout->bytes);
    return {};
  }

  struct Cast {
    std::size_t index = 0, scratch = 0;  // where in the scratch memory the wide operand lies
    std::unique_ptr<Kernel> kernel;
  };
  std::vector<Cast> casts_;
  std::unique_ptr<Kernel> inner_;
  std::vector<void*> pointers_;
  std::size_t shared_ = 0;  // where the kernels' own scratch memory begins
};

}  // namespace

bool is_narrow(const Operation& operation) {
  return is_linear(operation.kind) && operation.outputs[0].type == DType::f32 &&
         std::any_of(operation.inputs.begin(), operation.inputs.begin() + 2, in_16_bits);
}

Result<std::unique_ptr<Kernel>> over_widened(const Operation& operation, const Prepare& prepare) {
  auto kernel = std::make_unique<Widened>();
  if (const Status done = kernel->make(operation, prepare); !done) return done.error();
  return std::unique_ptr<Kernel>(std::move(kernel));
}

}  // namespace trainyard::ops
