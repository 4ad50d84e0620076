#include "common/ops/backend.hpp"
#include "common/base/text.hpp"
#include "common/ops/reference/reference.hpp"
#include "common/ops/widened.hpp"

namespace trainyard::ops {
namespace {

/// nullptr: no loops for this kind.
template <typename Real>
std::unique_ptr<Kernel> build(const Operation& op) {
  switch (op.kind) {
    case Kind::conv2d:
      return reference::conv2d<Real>(op);
    case Kind::conv2d_grad_data:
      return reference::conv2d_grad_data<Real>(op);
    case Kind::conv2d_grad_weights:
      return reference::conv2d_grad_weights<Real>(op);
    case Kind::dense:
      return reference::dense<Real>(op);
    case Kind::dense_grad_data:
      return reference::dense_grad_data<Real>(op);
    case Kind::dense_grad_weights:
      return reference::dense_grad_weights<Real>(op);
    case Kind::batch_norm:
      return reference::batch_norm<Real>(op);
    case Kind::batch_norm_training:
      return reference::batch_norm_training<Real>(op);
    case Kind::batch_norm_grad:
      return reference::batch_norm_grad<Real>(op);
    case Kind::max_pool:
      return reference::max_pool<Real>(op);
    case Kind::max_pool_grad:
      return reference::max_pool_grad<Real>(op);
    case Kind::avg_pool:
      return reference::avg_pool<Real>(op);
    case Kind::avg_pool_grad:
      return reference::avg_pool_grad<Real>(op);
    default:
      break;
  }
  for (const auto family :
       {reference::elementwise_kernel<Real>, reference::along_kernel<Real>, reference::movement_kernel<Real>,
        reference::index_kernel<Real>, reference::resize_kernel<Real>, reference::matmul_kernel<Real>,
        reference::norm_kernel<Real>, reference::sequence_kernel<Real>, reference::loss_kernel<Real>,
        reference::rows_kernel<Real>})
    if (auto kernel = family(op)) return kernel;
  return nullptr;
}

template <typename Real>
class ReferenceBackend final : public Backend {
 public:
  LayoutPtr plain(const Shape& shape, DType type) const override {
    return reference::plain_layout<Real>(shape, type);
  }
  LayoutPtr raw(std::size_t bytes) const override { return reference::bytes_layout(bytes); }
  Result<std::unique_ptr<Kernel>> prepare(const Operation& operation) const override {
    if (is_narrow(operation))
      return over_widened(operation, [this](const Operation& wide) { return prepare(wide); });
    auto kernel = build<Real>(operation);
    if (!kernel) return Error{Errc::refused, format("there is no kernel for {}", name_of(operation.kind))};
    return kernel;
  }
};

}  // namespace

template <typename Real>
std::unique_ptr<Backend> reference_backend() {
  return std::make_unique<ReferenceBackend<Real>>();
}
template std::unique_ptr<Backend> reference_backend<float>();
template std::unique_ptr<Backend> reference_backend<double>();

}  // namespace trainyard::ops
