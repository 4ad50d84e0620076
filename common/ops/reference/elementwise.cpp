#include <algorithm>

#include "common/ops/dropout_mask.hpp"
#include "common/ops/functions.hpp"
#include "common/ops/reference/reference.hpp"

namespace trainyard::ops::reference {

template <typename Real>
std::unique_ptr<Kernel> unary(const Operation& op) {
  const std::int64_t count = op.inputs[0].shape.elements();
  const Attributes a = op.attributes;
  return loops<Real>(op, [=](const Operands& at) {
    for (std::int64_t i = 0; i < count; ++i) at.out<Real>(0)[i] = value_of(a.function, a, at.in<Real>(0)[i]);
  });
}

template <typename Real>
std::unique_ptr<Kernel> unary_grad(const Operation& op) {
  const std::int64_t count = op.outputs[0].shape.elements();
  const Attributes a = op.attributes;
  const GradNeeds needs = grad_needs(a.function);
  return loops<Real>(op, [=](const Operands& at) {
    for (std::int64_t i = 0; i < count; ++i) {
      const Real x = needs.x ? at.in<Real>(0)[i] : 0, y = needs.y ? at.in<Real>(1)[i] : 0;
      at.out<Real>(0)[i] = slope_of(a.function, a, x, y) * at.in<Real>(2)[i];
    }
  });
}

template <typename Real>
std::unique_ptr<Kernel> reshape(const Operation& op) {
  const std::int64_t count = op.outputs[0].shape.elements();
  return loops<Real>(op, [=](const Operands& at) { std::copy_n(at.in<Real>(0), count, at.out<Real>(0)); });
}

/// Srivastava and others, Dropout, 2014, section 10: scaled in training, so that inference does nothing.
template <typename Real>
std::unique_ptr<Kernel> dropout(const Operation& op) {
  const Attributes a = op.attributes;
  const std::int64_t batch = op.outputs[0].shape[0], values = op.outputs[0].shape.elements() / batch;
  return loops<Real>(op, [=](const Operands& at) {
    for (std::int64_t n = 0; n < batch; ++n) {
      const DropoutMask mask(a.seed, *at.in<std::uint64_t>(2), at.in<std::uint64_t>(1)[n], a.rate);
      for (std::int64_t i = 0; i < values; ++i) {
        const double x = at.in<Real>(0)[n * values + i];
        at.out<Real>(0)[n * values + i] =
            static_cast<Real>(mask.keeps(static_cast<std::uint64_t>(i)) ? x / (1 - a.rate) : 0);
      }
    }
  });
}

template std::unique_ptr<Kernel> unary<float>(const Operation&);
template std::unique_ptr<Kernel> unary<double>(const Operation&);
template std::unique_ptr<Kernel> unary_grad<float>(const Operation&);
template std::unique_ptr<Kernel> unary_grad<double>(const Operation&);
template std::unique_ptr<Kernel> reshape<float>(const Operation&);
template std::unique_ptr<Kernel> reshape<double>(const Operation&);
template std::unique_ptr<Kernel> dropout<float>(const Operation&);
template std::unique_ptr<Kernel> dropout<double>(const Operation&);

}  // namespace trainyard::ops::reference
