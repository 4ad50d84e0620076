#include <algorithm>

#include "common/ops/dropout_mask.hpp"
#include "common/ops/reference/reference.hpp"

namespace trainyard::ops::reference {

template <typename Real>
std::unique_ptr<Kernel> relu(const Operation& op) {
  const std::int64_t count = op.outputs[0].elements();
  return loops<Real>(op, [=](const Operands& at) {
    for (std::int64_t i = 0; i < count; ++i)
      at.out<Real>(0)[i] = at.in<Real>(0)[i] < 0 ? 0 : at.in<Real>(0)[i];
  });
}

template <typename Real>
std::unique_ptr<Kernel> relu_grad(const Operation& op) {
  const std::int64_t count = op.outputs[0].elements();
  return loops<Real>(op, [=](const Operands& at) {
    for (std::int64_t i = 0; i < count; ++i)
      at.out<Real>(0)[i] = at.in<Real>(0)[i] > 0 ? at.in<Real>(1)[i] : 0;
  });
}

template <typename Real>
std::unique_ptr<Kernel> flatten(const Operation& op) {
  const std::int64_t count = op.outputs[0].elements();
  return loops<Real>(op, [=](const Operands& at) { std::copy_n(at.in<Real>(0), count, at.out<Real>(0)); });
}

/// Srivastava and others, Dropout, 2014, section 10: scaled in training, so that inference does nothing.
template <typename Real>
std::unique_ptr<Kernel> dropout(const Operation& op) {
  const Attributes a = op.attributes;
  const std::int64_t batch = op.outputs[0][0], values = op.outputs[0].elements() / batch;
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

template std::unique_ptr<Kernel> relu<float>(const Operation&);
template std::unique_ptr<Kernel> relu<double>(const Operation&);
template std::unique_ptr<Kernel> relu_grad<float>(const Operation&);
template std::unique_ptr<Kernel> relu_grad<double>(const Operation&);
template std::unique_ptr<Kernel> flatten<float>(const Operation&);
template std::unique_ptr<Kernel> flatten<double>(const Operation&);
template std::unique_ptr<Kernel> dropout<float>(const Operation&);
template std::unique_ptr<Kernel> dropout<double>(const Operation&);

}  // namespace trainyard::ops::reference
