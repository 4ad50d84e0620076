#include "common/ops/reference/reference.hpp"

// y[n,o,p,q] = b[o] + sum over i,r,s of x[n, i of o's group, p*stride + r*dilation - top, q*stride +
// s*dilation - left] * w[o,i,r,s], where x is zero outside; the gradients are the same sum read from the side
// of each operand.
namespace trainyard::ops::reference {
namespace {

/// Calls visit(at in x, at in w, at in y) for each product of the sum.
class Products {
 public:
  Products(const Attributes& attributes, const Shape& x, const Shape& w, const Shape& y)
      : a_(attributes), x_(x), w_(w), y_(y) {}

  template <typename Visit>
  void each(const Visit& visit) const {
    for (std::int64_t n = 0; n < y_.n; ++n)
      for (std::int64_t o = 0; o < y_.c; ++o)
        for (std::int64_t p = 0; p < y_.h; ++p)
          for (std::int64_t q = 0; q < y_.w; ++q) window(n, o, p, q, visit);
  }

 private:
  template <typename Visit>
  void window(std::int64_t n, std::int64_t o, std::int64_t p, std::int64_t q, const Visit& visit) const {
    const std::int64_t first = o / (w_.n / a_.groups) * w_.c;  // channel of x that the group begins with
    for (std::int64_t i = 0; i < w_.c; ++i)
      for (std::int64_t r = 0; r < w_.h; ++r)
        for (std::int64_t s = 0; s < w_.w; ++s) {
          const std::int64_t h = p * a_.stride_height + r * a_.dilation_height - a_.pad_top;
          const std::int64_t w = q * a_.stride_width + s * a_.dilation_width - a_.pad_left;
          if (x_.inside(h, w)) visit(x_.at(n, first + i, h, w), w_.at(o, i, r, s), y_.at(n, o, p, q));
        }
  }

  Attributes a_;
  Image x_, w_, y_;
};

template <typename Real>
void store(const std::vector<double>& sums, Real* out) {
  for (std::size_t i = 0; i < sums.size(); ++i) out[i] = static_cast<Real>(sums[i]);
}

std::vector<double> zeros(const Shape& shape) {
  return std::vector<double>(static_cast<std::size_t>(shape.elements()));
}

}  // namespace

template <typename Real>
std::unique_ptr<Kernel> conv2d(const Operation& op) {
  const Shape y = op.outputs[0].shape;
  const Products products(op.attributes, op.inputs[0].shape, op.inputs[1].shape, y);
  const bool bias = present(op.inputs, 2);
  const Finish<Real> finish(op);
  return loops<Real>(op, [=](const Operands& at) {
    const Real *x = at.in<Real>(0), *w = at.in<Real>(1);
    std::vector<double> sums = zeros(y);
    if (bias)
      for (std::size_t i = 0; i < sums.size(); ++i)
        sums[i] = at.in<Real>(2)[static_cast<std::int64_t>(i) / (y[2] * y[3]) % y[1]];
    products.each([&](auto ix, auto iw, auto iy) { sums[iy] += double(x[ix]) * w[iw]; });
    for (std::size_t i = 0; i < sums.size(); ++i) at.out<Real>(0)[i] = finish(sums[i], at, i);
  });
}

template <typename Real>
std::unique_ptr<Kernel> conv2d_grad_data(const Operation& op) {
  const Shape x = op.outputs[0].shape;
  const Products products(op.attributes, x, op.inputs[1].shape, op.inputs[0].shape);
  return loops<Real>(op, [=](const Operands& at) {
    const Real *dy = at.in<Real>(0), *w = at.in<Real>(1);
    std::vector<double> sums = zeros(x);
    products.each([&](auto ix, auto iw, auto iy) { sums[ix] += double(dy[iy]) * w[iw]; });
    store(sums, at.out<Real>(0));
  });
}

template <typename Real>
std::unique_ptr<Kernel> conv2d_grad_weights(const Operation& op) {
  const Shape w = op.outputs[0].shape, y = op.inputs[1].shape;
  const Products products(op.attributes, op.inputs[0].shape, w, y);
  const bool bias = op.outputs.size() > 1;
  return loops<Real>(op, [=](const Operands& at) {
    const Real *x = at.in<Real>(0), *dy = at.in<Real>(1);
    std::vector<double> sums = zeros(w), bias_sums(static_cast<std::size_t>(w[0]));
    products.each([&](auto ix, auto iw, auto iy) { sums[iw] += double(x[ix]) * dy[iy]; });
    store(sums, at.out<Real>(0));
    if (!bias) return;
    for (std::int64_t i = 0; i < y.elements(); ++i) bias_sums[i / (y[2] * y[3]) % y[1]] += dy[i];
    store(bias_sums, at.out<Real>(1));
  });
}

template std::unique_ptr<Kernel> conv2d<float>(const Operation&);
template std::unique_ptr<Kernel> conv2d<double>(const Operation&);
template std::unique_ptr<Kernel> conv2d_grad_data<float>(const Operation&);
template std::unique_ptr<Kernel> conv2d_grad_data<double>(const Operation&);
template std::unique_ptr<Kernel> conv2d_grad_weights<float>(const Operation&);
template std::unique_ptr<Kernel> conv2d_grad_weights<double>(const Operation&);

}  // namespace trainyard::ops::reference
