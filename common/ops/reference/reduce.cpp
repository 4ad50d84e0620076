// Reductions over any axes.
#include <algorithm>
#include <cmath>
#include <limits>

#include "common/ops/arithmetic.hpp"
#include "common/ops/reference/map.hpp"

namespace trainyard::ops::reference {
namespace {

/// What accumulates: double for reals; the low bits of a sum of whole numbers are those of the wider sum.
template <typename T>
using Sum = std::conditional_t<std::is_integral_v<T>, std::int64_t, double>;

template <typename T>
constexpr Sum<T> extreme(bool lowest) {
  using Limits = std::numeric_limits<T>;
  if constexpr (std::is_integral_v<T>)
    return lowest ? Limits::lowest() : Limits::max();
  else
    return lowest ? -Limits::infinity() : Limits::infinity();
}

/// log(sum(exp(x))) with the largest taken off: an infinite one is the result.
template <typename Visit>
double log_sum_exp(Visit&& each) {
  double top = -std::numeric_limits<double>::infinity(), sum = 0;
  each([&](double x) { top = combine(Arithmetic::maximum, top, x); });
  if (!std::isfinite(top)) return top;
  each([&](double x) { sum += std::exp(x - top); });
  return top + std::log(sum);
}

/// `each` calls what it is given with every element in turn.
template <typename T, typename Visit>
T reduced(Reduction reduction, std::int64_t count, Visit&& each) {
  using S = Sum<T>;
  const auto fold = [&](Arithmetic arithmetic, S start, auto&& value) {
    S result = start;
    each([&](T x) { result = combine(arithmetic, result, static_cast<S>(value(static_cast<S>(x)))); });
    return result;
  };
  const auto itself = [](S x) { return x; };
  const auto square = [](S x) { return combine(Arithmetic::multiply, x, x); };
  switch (reduction) {
    case Reduction::sum:
      return static_cast<T>(fold(Arithmetic::add, S{0}, itself));
    case Reduction::mean:
      return static_cast<T>(
          combine(Arithmetic::divide, fold(Arithmetic::add, S{0}, itself), static_cast<S>(count)));
    case Reduction::maximum:
      return static_cast<T>(fold(Arithmetic::maximum, extreme<T>(true), itself));
    case Reduction::minimum:
      return static_cast<T>(fold(Arithmetic::minimum, extreme<T>(false), itself));
    case Reduction::product:
      return static_cast<T>(fold(Arithmetic::multiply, S{1}, itself));
    case Reduction::l1:
      return static_cast<T>(fold(Arithmetic::add, S{0},
                                 [](S x) { return x < 0 ? combine(Arithmetic::subtract, S{0}, x) : x; }));
    case Reduction::sum_square:
      return static_cast<T>(fold(Arithmetic::add, S{0}, square));
    default:
      break;
  }
  if constexpr (!std::is_integral_v<T>) {
    if (reduction == Reduction::l2) return static_cast<T>(std::sqrt(fold(Arithmetic::add, 0.0, square)));
    if (reduction == Reduction::log_sum) return static_cast<T>(std::log(fold(Arithmetic::add, 0.0, itself)));
    return static_cast<T>(log_sum_exp(each));
  }
  return 0;
}

bool of_real_numbers(Reduction reduction) {
  return reduction == Reduction::l2 || reduction == Reduction::log_sum || reduction == Reduction::log_sum_exp;
}

}  // namespace

template <typename Real>
std::unique_ptr<Kernel> reduce(const Operation& op) {
  const Shape& x = op.inputs[0].shape;
  if (of_real_numbers(op.attributes.reduction) && op.inputs[0].type != DType::f32) return nullptr;
  // An element of x is found by the number of its result and its number among those that are reduced to it.
  Map kept, gone;
  const std::vector<std::int64_t> strides = strides_of(x);
  for (std::size_t axis = 0; axis < x.rank(); ++axis) {
    const auto& axes = op.attributes.axes;
    const bool reduced = std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(axis)) != axes.end();
    Map& map = reduced ? gone : kept;
    map.dims.push_back(x[axis]);
    map.strides.push_back(strides[axis]);
  }
  const std::int64_t results = op.outputs[0].shape.elements(), terms = Shape(gone.dims).elements();
  const Reduction reduction = op.attributes.reduction;
  return by_type<Real>(op.inputs[0].type, [&]<typename T>(T) {
    return loops<Real>(op, [=](const Operands& at) {
      for (std::int64_t i = 0; i < results; ++i)
        at.out<T>(0)[i] = reduced<T>(reduction, terms, [&](auto&& visit) {
          const T* const x = at.in<T>(0) + kept(i);
          for (std::int64_t k = 0; k < terms; ++k) visit(x[gone(k)]);
        });
    });
  });
}

template std::unique_ptr<Kernel> reduce<float>(const Operation&);
template std::unique_ptr<Kernel> reduce<double>(const Operation&);

}  // namespace trainyard::ops::reference
