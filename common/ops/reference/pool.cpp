#include <algorithm>

#include "common/ops/reference/reference.hpp"

// What windows leave out at the right and the bottom has no part in y, and places in the padding none in a
// window. A maximum remembers its first place in the window; an average needs to remember nothing.
namespace trainyard::ops::reference {
namespace {

class Windows {
 public:
  Windows(const Attributes& attributes, const Shape& x, const Shape& y) : a_(attributes), x_(x), y_(y) {}

  /// Calls visit(at in y, places in x) for each window.
  template <typename Visit>
  void each(const Visit& visit) const {
    std::vector<std::int64_t> places;
    for (std::int64_t n = 0; n < y_.n; ++n)
      for (std::int64_t c = 0; c < y_.c; ++c)
        for (std::int64_t p = 0; p < y_.h; ++p)
          for (std::int64_t q = 0; q < y_.w; ++q) {
            places.clear();
            for (std::int64_t r = 0; r < a_.kernel_height; ++r)
              for (std::int64_t s = 0; s < a_.kernel_width; ++s) {
                const std::int64_t h = p * a_.stride_height + r * a_.dilation_height - a_.pad_top;
                const std::int64_t w = q * a_.stride_width + s * a_.dilation_width - a_.pad_left;
                if (x_.inside(h, w)) places.push_back(x_.at(n, c, h, w));
              }
            visit(y_.at(n, c, p, q), places);
          }
  }
  /// What an average divides by.
  double divisor(const std::vector<std::int64_t>& places) const {
    return static_cast<double>(a_.count_padding ? a_.kernel_height * a_.kernel_width
                                                : static_cast<std::int64_t>(places.size()));
  }

 private:
  Attributes a_;
  Image x_, y_;
};

using Places = std::vector<std::int64_t>;

std::unique_ptr<Kernel> with_where(LayoutPtr y, LayoutPtr where, bool keep, LoopKernel::Body body) {
  std::vector<LayoutPtr> outputs{std::move(y)};
  if (keep) outputs.push_back(std::move(where));
  return std::make_unique<LoopKernel>(std::move(outputs), std::move(body));
}

}  // namespace

template <typename Real>
std::unique_ptr<Kernel> max_pool(const Operation& op) {
  const Shape y_shape = op.outputs[0].shape;
  const Windows windows(op.attributes, op.inputs[0].shape, y_shape);
  const bool keep = op.attributes.workspace;
  const LayoutPtr where = bytes_layout(static_cast<std::size_t>(y_shape.elements()) * sizeof(std::int64_t));
  return with_where(plain_layout<Real>(y_shape), where, keep, [=](const Operands& at) {
    const Real* x = at.in<Real>(0);
    windows.each([&](auto y, const Places& places) {
      const auto best = *std::max_element(places.begin(), places.end(),
                                          [x](auto left, auto right) { return x[left] < x[right]; });
      at.out<Real>(0)[y] = x[best];
      if (keep) at.out<std::int64_t>(1)[y] = best;
    });
  });
}

template <typename Real>
std::unique_ptr<Kernel> max_pool_grad(const Operation& op) {
  const std::int64_t count = op.inputs[0].shape.elements(), all = op.outputs[0].shape.elements();
  return loops<Real>(op, [=](const Operands& at) {
    std::fill_n(at.out<Real>(0), all, Real{0});
    for (std::int64_t y = 0; y < count; ++y) at.out<Real>(0)[at.in<std::int64_t>(1)[y]] += at.in<Real>(0)[y];
  });
}

template <typename Real>
std::unique_ptr<Kernel> avg_pool(const Operation& op) {
  const Windows windows(op.attributes, op.inputs[0].shape, op.outputs[0].shape);
  return with_where(plain_layout<Real>(op.outputs[0].shape), bytes_layout(0), op.attributes.workspace,
                    [=](const Operands& at) {
                      windows.each([&](auto y, const Places& places) {
                        double sum = 0;
                        for (const auto place : places) sum += at.in<Real>(0)[place];
                        at.out<Real>(0)[y] = static_cast<Real>(sum / windows.divisor(places));
                      });
                    });
}

template <typename Real>
std::unique_ptr<Kernel> avg_pool_grad(const Operation& op) {
  const std::int64_t all = op.outputs[0].shape.elements();
  const Windows windows(op.attributes, op.outputs[0].shape, op.inputs[0].shape);
  return loops<Real>(op, [=](const Operands& at) {
    std::vector<double> sums(static_cast<std::size_t>(all));
    windows.each([&](auto y, const Places& places) {
      for (const auto place : places) sums[place] += double(at.in<Real>(0)[y]) / windows.divisor(places);
    });
    for (std::int64_t i = 0; i < all; ++i) at.out<Real>(0)[i] = static_cast<Real>(sums[i]);
  });
}

template std::unique_ptr<Kernel> max_pool<float>(const Operation&);
template std::unique_ptr<Kernel> max_pool<double>(const Operation&);
template std::unique_ptr<Kernel> max_pool_grad<float>(const Operation&);
template std::unique_ptr<Kernel> max_pool_grad<double>(const Operation&);
template std::unique_ptr<Kernel> avg_pool<float>(const Operation&);
template std::unique_ptr<Kernel> avg_pool<double>(const Operation&);
template std::unique_ptr<Kernel> avg_pool_grad<float>(const Operation&);
template std::unique_ptr<Kernel> avg_pool_grad<double>(const Operation&);

}  // namespace trainyard::ops::reference
