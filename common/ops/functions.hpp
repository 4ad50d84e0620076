// The functions of Kind::unary and their slopes, one number at a time. What the backends' loops share;
// written to be read beside the formula. constexpr, so that device code may call them. Coefficients has alpha
// and beta, as Attributes has.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

#include "common/ops/operation.hpp"

namespace trainyard::ops {

inline constexpr double kSeluAlpha = 1.6732632423543772, kSeluScale = 1.0507009873554805;

template <typename Real>
constexpr Real sigmoid(Real x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}
/// log(1 + exp(x)) without overflow.
template <typename Real>
constexpr Real softplus(Real x) {
  return std::max(x, Real{0}) + std::log1p(std::exp(-std::abs(x)));
}
/// The distribution function of the standard normal, and its density.
template <typename Real>
constexpr Real normal_below(Real x) {
  return Real{0.5} * std::erfc(-x * static_cast<Real>(std::numbers::sqrt2 / 2));
}
template <typename Real>
constexpr Real normal_density(Real x) {
  return std::exp(-x * x / 2) * static_cast<Real>(std::numbers::inv_sqrtpi * std::numbers::sqrt2 / 2);
}
/// Half to even, whatever the rounding mode of the process.
template <typename Real>
constexpr Real round_half_even(Real x) {
  const Real below = std::floor(x), off = x - below;
  if (off < Real{0.5}) return below;
  if (off > Real{0.5}) return below + 1;
  return std::fmod(below, Real{2}) == 0 ? below : below + 1;
}
/// The argument of tanh in gelu's approximation, and its slope.
template <typename Real>
constexpr Real gelu_inner(Real x) {
  return static_cast<Real>(std::numbers::sqrt2 * std::numbers::inv_sqrtpi) *
         (x + static_cast<Real>(0.044715) * x * x * x);
}
template <typename Real>
constexpr Real gelu_inner_slope(Real x) {
  return static_cast<Real>(std::numbers::sqrt2 * std::numbers::inv_sqrtpi) *
         (1 + static_cast<Real>(3 * 0.044715) * x * x);
}

/// function(x). A not-a-number stays one.
template <typename Real, typename Coefficients>
constexpr Real value_of(Function function, const Coefficients& a, Real x) {
  const Real alpha = static_cast<Real>(a.alpha), beta = static_cast<Real>(a.beta);
  switch (function) {
    case Function::identity:
      return x;
    case Function::relu:
      return x < 0 ? 0 : x;
    case Function::relu6:
      return x < 0 ? 0 : x > 6 ? 6 : x;
    case Function::leaky_relu:
      return x < 0 ? alpha * x : x;
    case Function::elu:
      return x < 0 ? alpha * std::expm1(x) : x;
    case Function::selu:
      return static_cast<Real>(kSeluScale) * (x < 0 ? static_cast<Real>(kSeluAlpha) * std::expm1(x) : x);
    case Function::celu:
      return x < 0 ? alpha * std::expm1(x / alpha) : x;
    case Function::gelu:
      return x * normal_below(x);
    case Function::gelu_tanh:
      return x / 2 * (1 + std::tanh(gelu_inner(x)));
    case Function::silu:
      return x * sigmoid(x);
    case Function::mish:
      return x * std::tanh(softplus(x));
    case Function::hard_swish:
      return x * std::clamp(x + 3, Real{0}, Real{6}) / 6;
    case Function::hard_sigmoid:
      return std::clamp(alpha * x + beta, Real{0}, Real{1});
    case Function::sigmoid:
      return sigmoid(x);
    case Function::tanh:
      return std::tanh(x);
    case Function::softplus:
      return softplus(x);
    case Function::softsign:
      return x / (1 + std::abs(x));
    case Function::clip:
      return x < alpha ? alpha : x > beta ? beta : x;
    case Function::thresholded_relu:
      return x <= alpha ? 0 : x;
    case Function::shrink:
      return x > alpha ? x - beta : x < -alpha ? x + beta : std::isnan(x) ? x : 0;
    case Function::exp:
      return std::exp(x);
    case Function::log:
      return std::log(x);
    case Function::sqrt:
      return std::sqrt(x);
    case Function::reciprocal:
      return 1 / x;
    case Function::square:
      return x * x;
    case Function::abs:
      return std::abs(x);
    case Function::negate:
      return -x;
    case Function::sign:
      return x > 0 ? 1 : x < 0 ? -1 : x;
    case Function::floor:
      return std::floor(x);
    case Function::ceil:
      return std::ceil(x);
    case Function::round:
      return round_half_even(x);
    case Function::erf:
      return std::erf(x);
    case Function::sin:
      return std::sin(x);
    case Function::cos:
      return std::cos(x);
    case Function::tan:
      return std::tan(x);
    case Function::asin:
      return std::asin(x);
    case Function::acos:
      return std::acos(x);
    case Function::atan:
      return std::atan(x);
    case Function::sinh:
      return std::sinh(x);
    case Function::cosh:
      return std::cosh(x);
    case Function::asinh:
      return std::asinh(x);
    case Function::acosh:
      return std::acosh(x);
    case Function::atanh:
      return std::atanh(x);
    case Function::logical_not:
      return x == 0;
    case Function::is_nan:
      return std::isnan(x);
    case Function::is_inf:
      return std::isinf(x);
  }
  return x;
}

/// d function / dx from x or y, whichever grad_needs names; the other is not looked at.
template <typename Real, typename Coefficients>
constexpr Real slope_of(Function function, const Coefficients& a, Real x, Real y) {
  const Real alpha = static_cast<Real>(a.alpha), beta = static_cast<Real>(a.beta);
  switch (function) {
    case Function::identity:
      return 1;
    case Function::negate:
      return -1;
    case Function::relu:
      return y > 0;
    case Function::relu6:
      return y > 0 && y < 6;
    case Function::leaky_relu:
      return x < 0 ? alpha : 1;
    case Function::elu:
      return x < 0 ? alpha * std::exp(x) : 1;
    case Function::selu:
      return static_cast<Real>(kSeluScale) * (x < 0 ? static_cast<Real>(kSeluAlpha) * std::exp(x) : 1);
    case Function::celu:
      return x < 0 ? std::exp(x / alpha) : 1;
    case Function::gelu:
      return normal_below(x) + x * normal_density(x);
    case Function::gelu_tanh: {
      const Real t = std::tanh(gelu_inner(x));
      return (1 + t) / 2 + x / 2 * (1 - t * t) * gelu_inner_slope(x);
    }
    case Function::silu: {
      const Real s = sigmoid(x);
      return s * (1 + x * (1 - s));
    }
    case Function::mish: {
      const Real t = std::tanh(softplus(x));
      return t + x * (1 - t * t) * sigmoid(x);
    }
    case Function::hard_swish:
      return x <= -3 ? 0 : x >= 3 ? 1 : (2 * x + 3) / 6;
    case Function::hard_sigmoid:
      return alpha * x + beta > 0 && alpha * x + beta < 1 ? alpha : 0;
    case Function::sigmoid:
      return y * (1 - y);
    case Function::tanh:
      return 1 - y * y;
    case Function::softplus:
      return sigmoid(x);
    case Function::softsign:
      return 1 / ((1 + std::abs(x)) * (1 + std::abs(x)));
    case Function::clip:
      return x >= alpha && x <= beta;
    case Function::thresholded_relu:
      return x > alpha;
    case Function::shrink:
      return x > alpha || x < -alpha;
    case Function::exp:
      return y;
    case Function::log:
      return 1 / x;
    case Function::sqrt:
      return 1 / (2 * y);
    case Function::reciprocal:
      return -y * y;
    case Function::square:
      return 2 * x;
    case Function::abs:
      return x > 0 ? 1 : x < 0 ? -1 : 0;
    case Function::erf:
      return static_cast<Real>(2 * std::numbers::inv_sqrtpi) * std::exp(-x * x);
    case Function::sin:
      return std::cos(x);
    case Function::cos:
      return -std::sin(x);
    case Function::tan:
      return 1 + std::tan(x) * std::tan(x);
    case Function::asin:
      return 1 / std::sqrt(1 - x * x);
    case Function::acos:
      return -1 / std::sqrt(1 - x * x);
    case Function::atan:
      return 1 / (1 + x * x);
    case Function::sinh:
      return std::cosh(x);
    case Function::cosh:
      return std::sinh(x);
    case Function::asinh:
      return 1 / std::sqrt(x * x + 1);
    case Function::acosh:
      return 1 / std::sqrt(x * x - 1);
    case Function::atanh:
      return 1 / (1 - x * x);
    case Function::sign:
    case Function::floor:
    case Function::ceil:
    case Function::round:
    case Function::logical_not:
    case Function::is_nan:
    case Function::is_inf:
      return 0;
  }
  return 0;
}

}  // namespace trainyard::ops
