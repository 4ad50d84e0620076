#include "common/ops/backend.hpp"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "common/base/text.hpp"
#include "common/ops/cpu/onednn.hpp"

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
  for (const auto family : {cpu::elementwise_kernel, cpu::along_kernel, cpu::movement_kernel,
                            cpu::index_kernel, cpu::matmul, cpu::recurrent_kernel, cpu::rows_kernel})
    if (auto kernel = family(op)) return kernel;
  return nullptr;
}

class CpuBackend final : public Backend {
 public:
  LayoutPtr plain(const Shape& shape, DType type) const override { return cpu::plain_layout(shape, type); }
  LayoutPtr raw(std::size_t bytes) const override { return std::make_shared<cpu::RawLayout>(bytes); }
  Result<std::unique_ptr<Kernel>> prepare(const Operation& operation) const override {
    try {
      auto kernel = build(operation);
      if (!kernel) kernel = cpu::fallback(operation);
      if (!kernel) return Error{Errc::refused, format("there is no kernel for {}", name_of(operation.kind))};
      return kernel;
    } catch (const dnnl::error& error) {
      return Error{Errc::refused, format("oneDNN has no kernel for input {}: {}",
                                         operation.inputs[0].shape.text(), error.what())};
    }
  }
};

}  // namespace

void flush_denormals() {
#if defined(__x86_64__)
#pragma omp parallel
  _mm_setcsr(_mm_getcsr() | 0x8040);  // flush to zero, denormals are zero
#endif
}

std::unique_ptr<Backend> cpu_backend() { return std::make_unique<CpuBackend>(); }

}  // namespace trainyard::ops
