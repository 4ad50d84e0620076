#include <cmath>

#include "common/ops/reference/reference.hpp"

// y = (x - mean) / sqrt(variance + epsilon) * gamma + beta over groups of values: the rows of a layer
// normalization (Ba, Kiros, Hinton, 2016, equation 3), the channels of a group (Wu, He, 2018, equation 2).
// With n = (x - mean) / deviation and g = dy * gamma: dx = (g - mean of g - n * mean of g n) / deviation.
namespace trainyard::ops::reference {
namespace {

/// Value i of group r lies at r * width + i and has the coefficients scale_at(r, i).
struct Groups {
  std::int64_t count = 0, width = 0;
};

template <typename Real, typename ScaleAt>
void normalize(const Groups& groups, double epsilon, const Operands& at, const Real* gamma, const Real* beta,
               const ScaleAt& scale_at) {
  for (std::int64_t r = 0; r < groups.count; ++r) {
    const Real* x = at.in<Real>(0) + r * groups.width;
    const double width = static_cast<double>(groups.width);
    double mean = 0, variance = 0;
    for (std::int64_t i = 0; i < groups.width; ++i) mean += x[i] / width;
    for (std::int64_t i = 0; i < groups.width; ++i) variance += (x[i] - mean) * (x[i] - mean) / width;
    const double inverse = 1 / std::sqrt(variance + epsilon);
    at.out<Real>(1)[r] = static_cast<Real>(mean);
    at.out<Real>(2)[r] = static_cast<Real>(inverse);
    for (std::int64_t i = 0; i < groups.width; ++i) {
      double y = (x[i] - mean) * inverse;
      if (gamma) y *= gamma[scale_at(r, i)];
      if (beta) y += beta[scale_at(r, i)];
      at.out<Real>(0)[r * groups.width + i] = static_cast<Real>(y);
    }
  }
}

/// Operands x, dy, mean, inverse deviation; the sums over dgamma and dbeta stay with the caller.
template <typename Real, typename ScaleAt>
void normalize_grad(const Groups& groups, const Operands& at, const Real* gamma, const ScaleAt& scale_at,
                    std::vector<double>& dgamma, std::vector<double>& dbeta) {
  for (std::int64_t r = 0; r < groups.count; ++r) {
    const double mean = at.in<Real>(2)[r], inverse = at.in<Real>(3)[r];
    const auto normal = [&](std::int64_t i) {
      return (at.in<Real>(0)[r * groups.width + i] - mean) * inverse;
    };
    const auto dy = [&](std::int64_t i) -> double { return at.in<Real>(1)[r * groups.width + i]; };
    const auto g = [&](std::int64_t i) { return gamma ? dy(i) * gamma[scale_at(r, i)] : dy(i); };
    double sum = 0, sum_normal = 0;
    for (std::int64_t i = 0; i < groups.width; ++i) {
      sum += g(i);
      sum_normal += g(i) * normal(i);
      dgamma[static_cast<std::size_t>(scale_at(r, i))] += dy(i) * normal(i);
      dbeta[static_cast<std::size_t>(scale_at(r, i))] += dy(i);
    }
    const double width = static_cast<double>(groups.width);
    for (std::int64_t i = 0; i < groups.width; ++i)
      at.out<Real>(0)[r * groups.width + i] =
          static_cast<Real>(inverse * (g(i) - (sum + normal(i) * sum_normal) / width));
  }
}

template <typename Real>
void store(const std::vector<double>& sums, Real* out) {
  for (std::size_t i = 0; i < sums.size(); ++i) out[i] = static_cast<Real>(sums[i]);
}

template <typename Real>
std::unique_ptr<Kernel> layer_norm(const Operation& op) {
  const Shape& x = op.inputs[0].shape;
  const auto axis = static_cast<std::size_t>(op.attributes.axis);
  const Groups groups{x.volume(0, axis), x.volume(axis)};
  const std::size_t count = op.inputs.size();
  const auto along = [](std::int64_t, std::int64_t i) { return i; };
  if (op.kind == Kind::layer_norm)
    return loops<Real>(op, [=, epsilon = op.attributes.epsilon](const Operands& at) {
      normalize<Real>(groups, epsilon, at, count > 1 ? at.in<Real>(1) : nullptr,
                      count > 2 ? at.in<Real>(2) : nullptr, along);
    });
  const std::size_t results = op.outputs.size();
  return loops<Real>(op, [=](const Operands& at) {
    const auto width = static_cast<std::size_t>(groups.width);
    std::vector<double> dgamma(width), dbeta(width);
    normalize_grad<Real>(groups, at, count > 4 ? at.in<Real>(4) : nullptr, along, dgamma, dbeta);
    if (results > 1) store(dgamma, at.out<Real>(1));
    if (results > 2) store(dbeta, at.out<Real>(2));
  });
}

template <typename Real>
std::unique_ptr<Kernel> group_norm(const Operation& op) {
  const Image image(op.inputs[0].shape);
  const std::int64_t split = op.attributes.groups, channels = image.c / split, pixels = image.pixels();
  const Groups groups{image.n * split, channels * pixels};
  const auto channel = [=](std::int64_t r, std::int64_t i) { return r % split * channels + i / pixels; };
  if (op.kind == Kind::group_norm)
    return loops<Real>(op, [=, epsilon = op.attributes.epsilon](const Operands& at) {
      normalize<Real>(groups, epsilon, at, at.in<Real>(1), at.in<Real>(2), channel);
    });
  return loops<Real>(op, [=](const Operands& at) {
    std::vector<double> dgamma(static_cast<std::size_t>(image.c)), dbeta(dgamma.size());
    normalize_grad<Real>(groups, at, at.in<Real>(4), channel, dgamma, dbeta);
    store(dgamma, at.out<Real>(1));
    store(dbeta, at.out<Real>(2));
  });
}

/// What channel c divides by, before the power: bias + alpha / size * the sum of squares of its neighbours.
template <typename Real>
class Response {
 public:
  Response(const Attributes& a, const Image& image, const Real* x) : a_(a), image_(image), x_(x) {}
  double at(std::int64_t n, std::int64_t c, std::int64_t pixel) const {
    double sum = 0;
    for (std::int64_t j = std::max<std::int64_t>(0, c - (a_.size - 1) / 2);
         j <= std::min(image_.c - 1, c + a_.size / 2); ++j) {
      const double value = x_[place(n, j, pixel)];
      sum += value * value;
    }
    return a_.bias + a_.alpha / static_cast<double>(a_.size) * sum;
  }
  std::int64_t place(std::int64_t n, std::int64_t c, std::int64_t pixel) const {
    return (n * image_.c + c) * image_.pixels() + pixel;
  }

 private:
  const Attributes& a_;
  const Image& image_;
  const Real* x_;
};

template <typename Visit>
void each_value(const Image& image, const Visit& visit) {
  for (std::int64_t n = 0; n < image.n; ++n)
    for (std::int64_t c = 0; c < image.c; ++c)
      for (std::int64_t pixel = 0; pixel < image.pixels(); ++pixel) visit(n, c, pixel);
}

template <typename Real>
std::unique_ptr<Kernel> lrn(const Operation& op) {
  const Image image(op.inputs[0].shape);
  return loops<Real>(op, [=, a = op.attributes](const Operands& at) {
    const Response<Real> response(a, image, at.in<Real>(0));
    each_value(image, [&](auto n, auto c, auto pixel) {
      const auto i = response.place(n, c, pixel);
      at.out<Real>(0)[i] = static_cast<Real>(at.in<Real>(0)[i] * std::pow(response.at(n, c, pixel), -a.beta));
    });
  });
}

/// dx of i is dy / response^beta, less what x of i adds to the responses of those whose neighbour it is.
template <typename Real>
std::unique_ptr<Kernel> lrn_grad(const Operation& op) {
  const Image image(op.inputs[0].shape);
  return loops<Real>(op, [=, a = op.attributes](const Operands& at) {
    const Real *x = at.in<Real>(0), *dy = at.in<Real>(1);
    const Response<Real> response(a, image, x);
    each_value(image, [&](auto n, auto c, auto pixel) {
      const auto i = response.place(n, c, pixel);
      double sum = 0;
      for (std::int64_t j = std::max<std::int64_t>(0, c - a.size / 2);
           j <= std::min(image.c - 1, c + (a.size - 1) / 2); ++j) {
        const auto at_j = response.place(n, j, pixel);
        sum += double(dy[at_j]) * x[at_j] * std::pow(response.at(n, j, pixel), -a.beta - 1);
      }
      at.out<Real>(0)[i] = static_cast<Real>(dy[i] * std::pow(response.at(n, c, pixel), -a.beta) -
                                             2 * a.alpha * a.beta / static_cast<double>(a.size) * x[i] * sum);
    });
  });
}

}  // namespace

template <typename Real>
std::unique_ptr<Kernel> norm_kernel(const Operation& op) {
  switch (op.kind) {
    case Kind::layer_norm:
    case Kind::layer_norm_grad:
      return layer_norm<Real>(op);
    case Kind::group_norm:
    case Kind::group_norm_grad:
      return group_norm<Real>(op);
    case Kind::lrn:
      return lrn<Real>(op);
    case Kind::lrn_grad:
      return lrn_grad<Real>(op);
    default:
      return nullptr;
  }
}

template std::unique_ptr<Kernel> norm_kernel<float>(const Operation&);
template std::unique_ptr<Kernel> norm_kernel<double>(const Operation&);

}  // namespace trainyard::ops::reference
