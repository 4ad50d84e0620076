#include <cmath>

#include "common/ops/functions.hpp"
#include "common/ops/reference/reference.hpp"

// Ioffe, Szegedy, Batch Normalization, 2015: algorithm 1, and the gradient that follows it in section 3.
namespace trainyard::ops::reference {
namespace {

/// Calls visit(at) for each value of channel c.
template <typename Visit>
void each_of_channel(const Image& x, std::int64_t c, const Visit& visit) {
  for (std::int64_t n = 0; n < x.n; ++n)
    for (std::int64_t i = 0; i < x.pixels(); ++i) visit((n * x.c + c) * x.pixels() + i);
}

struct Statistics {
  double mean = 0, variance = 0;
};

template <typename Real>
Statistics statistics(const Image& shape, std::int64_t c, const Real* x) {
  const double count = static_cast<double>(shape.n * shape.pixels());
  Statistics of;
  each_of_channel(shape, c, [&](auto i) { of.mean += x[i] / count; });
  each_of_channel(shape, c, [&](auto i) { of.variance += (x[i] - of.mean) * (x[i] - of.mean) / count; });
  return of;
}

/// Source of the two numbers: torch.nn.BatchNorm2d, whose running variance is the unbiased one.
template <typename Real>
void bring_forward(const Image& shape, double momentum, std::int64_t c, const Statistics& of,
                   const Operands& at, std::size_t next) {
  const double count = static_cast<double>(shape.n * shape.pixels());
  const double unbiased = count > 1 ? of.variance * count / (count - 1) : of.variance;
  const double keep = 1 - momentum, batch = static_cast<double>(shape.n);
  at.out<Real>(next)[c] = static_cast<Real>(batch * (keep * at.in<Real>(3)[c] + momentum * of.mean));
  at.out<Real>(next + 1)[c] = static_cast<Real>(batch * (keep * at.in<Real>(4)[c] + momentum * unbiased));
}

}  // namespace

template <typename Real>
std::unique_ptr<Kernel> batch_norm_training(const Operation& op) {
  const Image shape(op.inputs[0].shape);
  const Attributes a = op.attributes;
  const bool mask = a.function != Function::identity, addend = op.inputs.size() > 5;
  const LayoutPtr y = plain_layout<Real>(op.inputs[0].shape), per_channel = plain_layout<Real>({shape.c});
  std::vector<LayoutPtr> outputs{y, per_channel, per_channel};
  if (mask) outputs.push_back(bytes_layout(static_cast<std::size_t>(op.inputs[0].shape.elements())));
  const std::size_t next = outputs.size();
  outputs.insert(outputs.end(), {per_channel, per_channel});
  return std::make_unique<LoopKernel>(std::move(outputs), [=](const Operands& at) {
    const Real* x = at.in<Real>(0);
    for (std::int64_t c = 0; c < shape.c; ++c) {
      const Statistics of = statistics(shape, c, x);
      at.out<Real>(1)[c] = static_cast<Real>(of.mean);
      at.out<Real>(2)[c] = static_cast<Real>(of.variance);
      bring_forward<Real>(shape, a.momentum, c, of, at, next);
      const double scale = at.in<Real>(1)[c] / std::sqrt(of.variance + a.epsilon);
      each_of_channel(shape, c, [&](auto i) {
        const double sum =
            (x[i] - of.mean) * scale + at.in<Real>(2)[c] + (addend ? at.in<Real>(5)[i] : Real{0});
        const double y = value_of(a.function, a, sum);
        if (mask) at.out<std::uint8_t>(3)[i] = slope_of(a.function, a, sum, y) != 0;
        at.out<Real>(0)[i] = static_cast<Real>(y);
      });
    }
  });
}

template <typename Real>
std::unique_ptr<Kernel> batch_norm(const Operation& op) {
  const Image shape(op.inputs[0].shape);
  const Attributes a = op.attributes;
  const bool addend = op.inputs.size() > 5;
  return loops<Real>(op, [=](const Operands& at) {
    for (std::int64_t c = 0; c < shape.c; ++c) {
      const double scale = at.in<Real>(1)[c] / std::sqrt(at.in<Real>(4)[c] + a.epsilon);
      each_of_channel(shape, c, [&](auto i) {
        const double y = (at.in<Real>(0)[i] - at.in<Real>(3)[c]) * scale + at.in<Real>(2)[c] +
                         (addend ? at.in<Real>(5)[i] : Real{0});
        at.out<Real>(0)[i] = static_cast<Real>(value_of(a.function, a, y));
      });
    }
  });
}

template <typename Real>
std::unique_ptr<Kernel> batch_norm_grad(const Operation& op) {
  const Image shape(op.inputs[0].shape);
  const bool mask = op.attributes.function != Function::identity, addend = op.outputs.size() > 3;
  const double epsilon = op.attributes.epsilon;
  const double count = static_cast<double>(shape.n * shape.pixels());
  return loops<Real>(op, [=](const Operands& at) {
    for (std::int64_t c = 0; c < shape.c; ++c) {
      const double mean = at.in<Real>(2)[c];
      const double scale = 1 / std::sqrt(at.in<Real>(3)[c] + epsilon);
      const auto normal = [&](auto i) { return (at.in<Real>(0)[i] - mean) * scale; };
      const auto dy = [&](auto i) -> double {
        return mask && at.in<std::uint8_t>(5)[i] == 0 ? Real{0} : at.in<Real>(1)[i];
      };
      double dgamma = 0, dbeta = 0;
      each_of_channel(shape, c, [&](auto i) {
        dgamma += dy(i) * normal(i);
        dbeta += dy(i);
      });
      at.out<Real>(1)[c] = static_cast<Real>(dgamma);
      at.out<Real>(2)[c] = static_cast<Real>(dbeta);
      each_of_channel(shape, c, [&](auto i) {
        at.out<Real>(0)[i] =
            static_cast<Real>(at.in<Real>(4)[c] * scale * (dy(i) - (dbeta + normal(i) * dgamma) / count));
        if (addend) at.out<Real>(3)[i] = static_cast<Real>(dy(i));
      });
    }
  });
}

template std::unique_ptr<Kernel> batch_norm_training<float>(const Operation&);
template std::unique_ptr<Kernel> batch_norm_training<double>(const Operation&);
template std::unique_ptr<Kernel> batch_norm<float>(const Operation&);
template std::unique_ptr<Kernel> batch_norm<double>(const Operation&);
template std::unique_ptr<Kernel> batch_norm_grad<float>(const Operation&);
template std::unique_ptr<Kernel> batch_norm_grad<double>(const Operation&);

}  // namespace trainyard::ops::reference
