#include "common/ops/backend.hpp"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "common/base/text.hpp"
#include "common/ops/cpu/one_thread.hpp"
#include "common/ops/cpu/onednn.hpp"
#include "common/ops/deterministic.hpp"
#include "common/ops/widened.hpp"

namespace trainyard::ops {
namespace {

/// nullptr: no kernel of this backend's own.
std::unique_ptr<Kernel> build(const Operation& op) {
  switch (op.kind) {
    case Kind::conv2d:
      return cpu::conv2d(op);
    case Kind::conv2d_grad_data:
      return cpu::conv2d_grad_data(op);
    case Kind::conv2d_grad_weights:
      return cpu::conv2d_grad_weights(op);
    case Kind::dense:
      return cpu::dense(op);
    case Kind::dense_grad_data:
      return cpu::dense_grad_data(op);
    case Kind::dense_grad_weights:
      return cpu::dense_grad_weights(op);
    case Kind::batch_norm:
      return cpu::batch_norm(op);
    case Kind::batch_norm_training:
      return cpu::batch_norm_training(op);
    case Kind::batch_norm_grad:
      return cpu::batch_norm_grad(op);
    case Kind::max_pool:
    case Kind::avg_pool:
      return cpu::pool(op);
    case Kind::max_pool_grad:
    case Kind::avg_pool_grad:
      return cpu::pool_grad(op);
    case Kind::dropout:
    case Kind::dropout_grad:
      return cpu::dropout(op);
    case Kind::softmax_cross_entropy:
      return cpu::softmax_cross_entropy(op);
    default:
      break;
  }
  for (const auto family :
       {cpu::elementwise_kernel, cpu::along_kernel, cpu::movement_kernel, cpu::index_kernel, cpu::matmul,
        cpu::recurrent_kernel, cpu::rows_kernel, cpu::attention_kernel, cpu::layer_norm_kernel})
    if (auto kernel = family(op)) return kernel;
  return nullptr;
}

/// As above, with the same bits for any number of threads.
std::unique_ptr<Kernel> build_deterministic(const Operation& op) {
  const Attributes& a = op.attributes;
  if (op.kind == Kind::conv2d_grad_weights) return cpu::conv2d_grad_weights_in_chunks(op);
  // oneDNN multiplies the matrices of a few groups, each by the whole team.
  const bool grouped = (op.kind == Kind::conv2d || op.kind == Kind::conv2d_grad_data) && a.groups > 1;
  if (grouped && a.groups != op.inputs[1].shape[0])
    return std::make_unique<cpu::OnOneThread>([&] { return build(op); });
  return build(op);
}

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(bool deterministic) : deterministic_(deterministic) {}
  LayoutPtr plain(const Shape& shape, DType type) const override { return cpu::plain_layout(shape, type); }
  LayoutPtr raw(std::size_t bytes) const override { return std::make_shared<cpu::RawLayout>(bytes); }
  Result<std::unique_ptr<Kernel>> prepare(const Operation& operation) const override {
    if (is_narrow(operation)) return prepare_narrow(operation);
    try {
      auto kernel = deterministic_ ? build_deterministic(operation) : build(operation);
      if (!kernel) kernel = cpu::fallback(operation);
      if (!kernel) return Error{Errc::refused, format("there is no kernel for {}", name_of(operation.kind))};
      return kernel;
    } catch (const dnnl::error& error) {
      return Error{Errc::refused, format("oneDNN has no kernel for input {}: {}",
                                         operation.inputs[0].shape.text(), error.what())};
    }
  }

 private:
  Result<std::unique_ptr<Kernel>> prepare_narrow(const Operation& operation) const {
    // What bf16 adds up follows the team.
    const bool follows = deterministic_ && operation.kind == Kind::conv2d_grad_weights;
    if (!follows) try {
        if (auto kernel = cpu::narrow_kernel(operation)) return kernel;
      } catch (const dnnl::error&) {
      }
    return over_widened(operation, [this](const Operation& wide) { return prepare(wide); });
  }

  const bool deterministic_;
};

}  // namespace

void flush_denormals() {
#if defined(__x86_64__)
#pragma omp parallel
  _mm_setcsr(_mm_getcsr() | 0x8040);  // flush to zero, denormals are zero
#endif
}

std::unique_ptr<Backend> cpu_backend() { return std::make_unique<CpuBackend>(false); }
std::unique_ptr<Backend> deterministic_cpu_backend() { return std::make_unique<CpuBackend>(true); }

}  // namespace trainyard::ops
