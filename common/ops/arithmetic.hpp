// The functions of Kind::binary, and those of Kind::unary on whole numbers, one number at a time. What the
// backends' loops share; constexpr, so that device code may call them. Defined for every operand: whole
// numbers wrap around, and 0 divides nothing.
#pragma once

#include <cmath>
#include <concepts>
#include <limits>
#include <type_traits>

#include "common/ops/operation.hpp"

namespace trainyard::ops {

/// The nearest number of type T; towards zero, and 0 for what is not a number.
template <std::integral T, std::floating_point Real>
constexpr T whole_from(Real x) {
  using Limits = std::numeric_limits<T>;
  if (std::isnan(x)) return 0;
  // The largest number itself may not be a Real; what lies above rounds up to a power of two.
  if (x >= std::ldexp(Real{1}, Limits::digits)) return Limits::max();
  if (x <= static_cast<Real>(Limits::lowest())) return Limits::lowest();
  return static_cast<T>(x);
}

namespace whole {

template <std::integral T>
using Unsigned = std::make_unsigned_t<T>;

template <std::integral T>
constexpr T multiply(T a, T b) {
  return static_cast<T>(static_cast<Unsigned<T>>(a) * static_cast<Unsigned<T>>(b));
}
template <std::integral T>
constexpr T negate(T a) {
  return static_cast<T>(Unsigned<T>{0} - static_cast<Unsigned<T>>(a));
}
/// Would the quotient of the smallest number by -1 overflow?
template <std::integral T>
constexpr bool overflows(T a, T b) {
  return std::is_signed_v<T> && a == std::numeric_limits<T>::lowest() && b == static_cast<T>(-1);
}
template <std::integral T>
constexpr T divide(T a, T b) {
  return b == 0 ? T{0} : overflows(a, b) ? a : static_cast<T>(a / b);
}
template <std::integral T>
constexpr T remainder(T a, T b) {
  return b == 0 || overflows(a, b) ? T{0} : static_cast<T>(a % b);
}
template <std::integral T>
constexpr T power(T base, T exponent) {
  if (exponent < 0) {
    if (base == 1) return 1;
    if (base == static_cast<T>(-1)) return exponent % 2 == 0 ? T{1} : static_cast<T>(-1);
    return 0;
  }
  T result = 1;
  for (auto left = static_cast<Unsigned<T>>(exponent); left > 0; left = static_cast<Unsigned<T>>(left / 2)) {
    if (left % 2 == 1) result = multiply(result, base);
    base = multiply(base, base);
  }
  return result;
}

}  // namespace whole

template <typename T>
constexpr bool not_a_number(T x) {
  return x != x;
}

/// The result of a comparison or of logic.
template <typename T>
constexpr bool holds(Arithmetic arithmetic, T a, T b) {
  switch (arithmetic) {
    case Arithmetic::equal:
      return a == b;
    case Arithmetic::less:
      return a < b;
    case Arithmetic::less_equal:
      return a <= b;
    case Arithmetic::greater:
      return a > b;
    case Arithmetic::greater_equal:
      return a >= b;
    case Arithmetic::logical_and:
      return a != 0 && b != 0;
    case Arithmetic::logical_or:
      return a != 0 || b != 0;
    case Arithmetic::logical_xor:
      return (a != 0) != (b != 0);
    default:
      return false;
  }
}

/// The result of anything else.
template <typename T>
constexpr T combine(Arithmetic arithmetic, T a, T b) {
  constexpr bool kWhole = std::is_integral_v<T>;
  switch (arithmetic) {
    case Arithmetic::add:
      if constexpr (kWhole) return static_cast<T>(whole::Unsigned<T>(a) + whole::Unsigned<T>(b));
      return static_cast<T>(a + b);
    case Arithmetic::subtract:
      if constexpr (kWhole) return static_cast<T>(whole::Unsigned<T>(a) - whole::Unsigned<T>(b));
      return static_cast<T>(a - b);
    case Arithmetic::multiply:
      if constexpr (kWhole) return whole::multiply(a, b);
      return static_cast<T>(a * b);
    case Arithmetic::divide:
      if constexpr (kWhole) return whole::divide(a, b);
      return static_cast<T>(a / b);
    case Arithmetic::power:
      if constexpr (kWhole)
        return whole::power(a, b);
      else
        return std::pow(a, b);
    case Arithmetic::minimum:
      return a < b || not_a_number(a) ? a : b;
    case Arithmetic::maximum:
      return a > b || not_a_number(a) ? a : b;
    case Arithmetic::f_modulo:
      if constexpr (kWhole)
        return whole::remainder(a, b);
      else
        return std::fmod(a, b);
    case Arithmetic::modulo: {
      const T rest = combine(Arithmetic::f_modulo, a, b);
      return rest != 0 && (rest < 0) != (b < 0) ? static_cast<T>(rest + b) : rest;
    }
    default:
      return static_cast<T>(holds(arithmetic, a, b));
  }
}

/// function(x) of those that take whole numbers; alpha and beta are rounded towards zero.
template <std::integral T, typename Coefficients>
constexpr T whole_value_of(Function function, const Coefficients& a, T x) {
  const auto clip = [&](double low, double high) {
    const T from = whole_from<T>(low), to = whole_from<T>(high);
    return x < from ? from : x > to ? to : x;
  };
  switch (function) {
    case Function::relu:
      return x < 0 ? T{0} : x;
    case Function::relu6:
      return clip(0, 6);
    case Function::clip:
      return clip(a.alpha, a.beta);
    case Function::square:
      return whole::multiply(x, x);
    case Function::abs:
      return x < 0 ? whole::negate(x) : x;
    case Function::negate:
      return whole::negate(x);
    case Function::sign:
      return static_cast<T>(x > 0 ? 1 : x < 0 ? -1 : 0);
    case Function::logical_not:
      return x == 0;
    default:
      return x;
  }
}

}  // namespace trainyard::ops
