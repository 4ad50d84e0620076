// Operations along one axis. Lines along it are taken one after the other.
#include <cmath>
#include <limits>

#include "common/ops/arithmetic.hpp"
#include "common/ops/reference/map.hpp"

namespace trainyard::ops::reference {
namespace {

/// Does `a` come before `b` among the largest or smallest? What is not a number comes first.
template <typename T>
bool precedes(T a, T b, bool largest) {
  if (not_a_number(b)) return false;
  return not_a_number(a) || (largest ? a > b : a < b);
}

template <typename Real>
std::unique_ptr<Kernel> arg_extreme(const Operation& op) {
  const Lines lines(op.inputs[0].shape, op.attributes.axis);
  const bool largest = op.attributes.largest;
  return by_type<Real>(op.inputs[0].type, [&]<typename T>(T) {
    return loops<Real>(op, [=](const Operands& at) {
      for (std::int64_t line = 0; line < lines.count(); ++line) {
        const T* const x = at.in<T>(0) + lines.first(line, lines.extent);
        std::int64_t best = 0;
        for (std::int64_t k = 1; k < lines.extent; ++k)
          if (precedes(x[k * lines.inner], x[best * lines.inner], largest)) best = k;
        at.out<std::int64_t>(0)[line] = best;
      }
    });
  });
}

/// Each in turn is the best of those that come after the one before: no memory, and size passes.
template <typename Real>
std::unique_ptr<Kernel> top_k(const Operation& op) {
  const Lines lines(op.inputs[0].shape, op.attributes.axis);
  const std::int64_t size = op.attributes.size;
  const bool largest = op.attributes.largest;
  return by_type<Real>(op.inputs[0].type, [&]<typename T>(T) {
    return loops<Real>(op, [=](const Operands& at) {
      for (std::int64_t line = 0; line < lines.count(); ++line) {
        const T* const x = at.in<T>(0) + lines.first(line, lines.extent);
        const auto before = [&](std::int64_t a, std::int64_t b) {
          const T left = x[a * lines.inner], right = x[b * lines.inner];
          return precedes(left, right, largest) || (!precedes(right, left, largest) && a < b);
        };
        std::int64_t last = -1;
        for (std::int64_t i = 0; i < size; ++i) {
          std::int64_t best = -1;
          for (std::int64_t k = 0; k < lines.extent; ++k)
            if ((last < 0 || before(last, k)) && (best < 0 || before(k, best))) best = k;
          const std::int64_t to = lines.first(line, size) + i * lines.inner;
          at.out<T>(0)[to] = x[best * lines.inner];
          at.out<std::int64_t>(1)[to] = last = best;
        }
      }
    });
  });
}

template <typename Real>
std::unique_ptr<Kernel> cumulative_sum(const Operation& op) {
  const Lines lines(op.inputs[0].shape, op.attributes.axis);
  const bool exclusive = op.attributes.exclusive, reverse = op.attributes.reverse;
  return by_type<Real>(op.inputs[0].type, [&]<typename T>(T) {
    return loops<Real>(op, [=](const Operands& at) {
      for (std::int64_t line = 0; line < lines.count(); ++line) {
        const std::int64_t first = lines.first(line, lines.extent);
        std::conditional_t<std::is_integral_v<T>, T, double> sum = 0;
        for (std::int64_t i = 0; i < lines.extent; ++i) {
          const std::int64_t k = first + (reverse ? lines.extent - 1 - i : i) * lines.inner;
          const auto next = combine(Arithmetic::add, sum, static_cast<decltype(sum)>(at.in<T>(0)[k]));
          at.out<T>(0)[k] = static_cast<T>(exclusive ? sum : next);
          sum = next;
        }
      }
    });
  });
}

/// Bridle, 1990. The largest is taken off: no exponent overflows.
template <typename Real>
std::unique_ptr<Kernel> softmax(const Operation& op, bool logarithm) {
  if (op.inputs[0].type != DType::f32) return nullptr;
  const Lines lines(op.inputs[0].shape, op.attributes.axis);
  return loops<Real>(op, [=](const Operands& at) {
    for (std::int64_t line = 0; line < lines.count(); ++line) {
      const std::int64_t first = lines.first(line, lines.extent);
      const Real* const x = at.in<Real>(0) + first;
      Real* const y = at.out<Real>(0) + first;
      double top = -std::numeric_limits<double>::infinity(), sum = 0;
      for (std::int64_t k = 0; k < lines.extent; ++k)
        top = combine(Arithmetic::maximum, top, static_cast<double>(x[k * lines.inner]));
      for (std::int64_t k = 0; k < lines.extent; ++k) sum += std::exp(x[k * lines.inner] - top);
      for (std::int64_t k = 0; k < lines.extent; ++k) {
        const double shifted = x[k * lines.inner] - top;
        y[k * lines.inner] = static_cast<Real>(logarithm ? shifted - std::log(sum) : std::exp(shifted) / sum);
      }
    }
  });
}

/// softmax: dx = p (dp - sum(p dp)); its logarithm: dx = dy - exp(y) sum(dy).
template <typename Real>
std::unique_ptr<Kernel> softmax_grad(const Operation& op, bool logarithm) {
  if (op.inputs[0].type != DType::f32) return nullptr;
  const Lines lines(op.inputs[0].shape, op.attributes.axis);
  return loops<Real>(op, [=](const Operands& at) {
    for (std::int64_t line = 0; line < lines.count(); ++line) {
      const std::int64_t first = lines.first(line, lines.extent);
      const Real *const y = at.in<Real>(0) + first, *const dy = at.in<Real>(1) + first;
      double sum = 0;
      for (std::int64_t k = 0; k < lines.extent; ++k)
        sum += (logarithm ? 1.0 : double(y[k * lines.inner])) * dy[k * lines.inner];
      for (std::int64_t k = 0; k < lines.extent; ++k) {
        const double value = y[k * lines.inner], gradient = dy[k * lines.inner];
        at.out<Real>(0)[first + k * lines.inner] =
            static_cast<Real>(logarithm ? gradient - std::exp(value) * sum : value * (gradient - sum));
      }
    }
  });
}

}  // namespace

template <typename Real>
std::unique_ptr<Kernel> along_kernel(const Operation& op) {
  switch (op.kind) {
    case Kind::reduce:
      return reduce<Real>(op);
    case Kind::arg_extreme:
      return arg_extreme<Real>(op);
    case Kind::top_k:
      return top_k<Real>(op);
    case Kind::cumulative_sum:
      return cumulative_sum<Real>(op);
    case Kind::softmax:
      return softmax<Real>(op, false);
    case Kind::log_softmax:
      return softmax<Real>(op, true);
    case Kind::softmax_grad:
      return softmax_grad<Real>(op, false);
    case Kind::log_softmax_grad:
      return softmax_grad<Real>(op, true);
    default:
      return nullptr;
  }
}

template std::unique_ptr<Kernel> along_kernel<float>(const Operation&);
template std::unique_ptr<Kernel> along_kernel<double>(const Operation&);

}  // namespace trainyard::ops::reference
