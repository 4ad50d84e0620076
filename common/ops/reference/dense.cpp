#include "common/ops/reference/reference.hpp"

// y[n,o] = b[o] + sum over f of x[n,f] * w[o,f]; n counts all rows, also those of a sequence.
namespace trainyard::ops::reference {
namespace {

struct Sizes {
  Sizes(const Shape& y, const Shape& w) : batch(y.elements() / w[0]), units(w[0]), features(w[1]) {}
  std::int64_t batch, units, features;
};

}  // namespace

template <typename Real>
std::unique_ptr<Kernel> dense(const Operation& op) {
  const Sizes s(op.outputs[0].shape, op.inputs[1].shape);
  const bool bias = present(op.inputs, 2);
  const Finish<Real> finish(op);
  return loops<Real>(op, [=](const Operands& at) {
    const Real *x = at.in<Real>(0), *w = at.in<Real>(1);
    for (std::int64_t n = 0; n < s.batch; ++n)
      for (std::int64_t o = 0; o < s.units; ++o) {
        double sum = bias ? at.in<Real>(2)[o] : Real{0};
        for (std::int64_t f = 0; f < s.features; ++f)
          sum += double(x[n * s.features + f]) * w[o * s.features + f];
        const auto i = static_cast<std::size_t>(n * s.units + o);
        at.out<Real>(0)[i] = finish(sum, at, i);
      }
  });
}

template <typename Real>
std::unique_ptr<Kernel> dense_grad_data(const Operation& op) {
  const Sizes s(op.inputs[0].shape, op.inputs[1].shape);
  return loops<Real>(op, [=](const Operands& at) {
    const Real *dy = at.in<Real>(0), *w = at.in<Real>(1);
    for (std::int64_t n = 0; n < s.batch; ++n)
      for (std::int64_t f = 0; f < s.features; ++f) {
        double sum = 0;
        for (std::int64_t o = 0; o < s.units; ++o) sum += double(dy[n * s.units + o]) * w[o * s.features + f];
        at.out<Real>(0)[n * s.features + f] = static_cast<Real>(sum);
      }
  });
}

template <typename Real>
std::unique_ptr<Kernel> dense_grad_weights(const Operation& op) {
  const Sizes s(op.inputs[1].shape, op.outputs[0].shape);
  const bool bias = op.outputs.size() > 1;
  return loops<Real>(op, [=](const Operands& at) {
    const Real *x = at.in<Real>(0), *dy = at.in<Real>(1);
    for (std::int64_t o = 0; o < s.units; ++o) {
      double bias_sum = 0;
      for (std::int64_t n = 0; n < s.batch; ++n) bias_sum += dy[n * s.units + o];
      if (bias) at.out<Real>(1)[o] = static_cast<Real>(bias_sum);
      for (std::int64_t f = 0; f < s.features; ++f) {
        double sum = 0;
        for (std::int64_t n = 0; n < s.batch; ++n) sum += double(dy[n * s.units + o]) * x[n * s.features + f];
        at.out<Real>(0)[o * s.features + f] = static_cast<Real>(sum);
      }
    }
  });
}

template std::unique_ptr<Kernel> dense<float>(const Operation&);
template std::unique_ptr<Kernel> dense<double>(const Operation&);
template std::unique_ptr<Kernel> dense_grad_data<float>(const Operation&);
template std::unique_ptr<Kernel> dense_grad_data<double>(const Operation&);
template std::unique_ptr<Kernel> dense_grad_weights<float>(const Operation&);
template std::unique_ptr<Kernel> dense_grad_weights<double>(const Operation&);

}  // namespace trainyard::ops::reference
