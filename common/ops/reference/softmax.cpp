#include <algorithm>
#include <cmath>

#include "common/ops/reference/reference.hpp"

namespace trainyard::ops::reference {
namespace {

/// p = exp(x - top) / sum; returns the logarithm of the sum of exp(x).
template <typename Real>
double softmax_row(const Real* x, std::int64_t classes, std::vector<double>& p) {
  const double top = *std::max_element(x, x + classes);
  double sum = 0;
  for (std::int64_t k = 0; k < classes; ++k) sum += p[k] = std::exp(x[k] - top);
  for (std::int64_t k = 0; k < classes; ++k) p[k] /= sum;
  return top + std::log(sum);
}

}  // namespace

template <typename Real>
std::unique_ptr<Kernel> softmax_cross_entropy(const Operation& op) {
  const Shape& x_shape = op.inputs[0].shape;
  const std::int64_t batch = x_shape[0], classes = x_shape.elements() / batch;
  std::vector<LayoutPtr> outputs{plain_layout<Real>(x_shape), bytes_layout(sizeof(Outcome))};
  return std::make_unique<LoopKernel>(std::move(outputs), [=](const Operands& at) {
    Outcome outcome;
    std::vector<double> p(static_cast<std::size_t>(classes));
    for (std::int64_t n = 0; n < batch; ++n) {
      const Real* x = at.in<Real>(0) + n * classes;
      const std::int32_t label = at.in<std::int32_t>(1)[n];
      check(label >= 0 && label < classes, "a label is below the number of classes");
      outcome.loss_sum += softmax_row(x, classes, p) - x[label];
      outcome.weight_sum += 1;
      if (std::max_element(x, x + classes) == x + label) ++outcome.correct;
      for (std::int64_t k = 0; k < classes; ++k)
        at.out<Real>(0)[n * classes + k] = static_cast<Real>(p[k] - (k == label ? 1 : 0));
    }
    *at.out<Outcome>(1) = outcome;
  });
}

template std::unique_ptr<Kernel> softmax_cross_entropy<float>(const Operation&);
template std::unique_ptr<Kernel> softmax_cross_entropy<double>(const Operation&);

}  // namespace trainyard::ops::reference
