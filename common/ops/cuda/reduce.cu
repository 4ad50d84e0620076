// Reductions over any axes: a group of threads takes the terms of one result. Sums in double precision.
#include <algorithm>
#include <cmath>
#include <limits>

#include "common/ops/arithmetic.hpp"
#include "common/ops/cuda/group.hpp"
#include "common/ops/cuda/kernel.hpp"
#include "common/ops/cuda/numbers.hpp"
#include "common/ops/cuda/walk.hpp"

namespace trainyard::ops::cuda {
namespace {

template <typename T>
using Sum = std::conditional_t<kIsReal<T>, double, std::int64_t>;

template <typename T>
struct Reduce {
  Reduction reduction;
  Walk kept, gone;
  std::int64_t terms;
  const T* x;
  T* y;

  template <typename Group, typename Value>
  __device__ Sum<T> fold(const Group& group, std::int64_t base, Arithmetic arithmetic, Sum<T> start,
                         const Value& value) const {
    Sum<T> result = start;
    group.over(terms, [&](std::int64_t k) {
      result = combine(arithmetic, result, value(static_cast<Sum<T>>(widen(x[base + gone(k)]))));
    });
    return group.reduce(result, [arithmetic](Sum<T> a, Sum<T> b) { return combine(arithmetic, a, b); });
  }
  __device__ static Sum<T> extreme(bool lowest) {
    if constexpr (kIsReal<T>)
      return lowest ? -INFINITY : INFINITY;
    else
      return lowest ? std::numeric_limits<T>::lowest() : std::numeric_limits<T>::max();
  }
  template <typename Group>
  __device__ Sum<T> of(std::int64_t base, const Group& group) const {
    using S = Sum<T>;
    const auto itself = [](S value) { return value; };
    const auto square = [](S value) { return combine(Arithmetic::multiply, value, value); };
    switch (reduction) {
      case Reduction::sum:
        return fold(group, base, Arithmetic::add, S{0}, itself);
      case Reduction::mean:
        return combine(Arithmetic::divide, fold(group, base, Arithmetic::add, S{0}, itself),
                       static_cast<S>(terms));
      case Reduction::maximum:
        return fold(group, base, Arithmetic::maximum, extreme(true), itself);
      case Reduction::minimum:
        return fold(group, base, Arithmetic::minimum, extreme(false), itself);
      case Reduction::product:
        return fold(group, base, Arithmetic::multiply, S{1}, itself);
      case Reduction::l1:
        return fold(group, base, Arithmetic::add, S{0},
                    [](S value) { return value < 0 ? combine(Arithmetic::subtract, S{0}, value) : value; });
      case Reduction::sum_square:
        return fold(group, base, Arithmetic::add, S{0}, square);
      default:
        break;
    }
    if constexpr (kIsReal<T>) {
      if (reduction == Reduction::l2) return std::sqrt(fold(group, base, Arithmetic::add, 0.0, square));
      if (reduction == Reduction::log_sum) return std::log(fold(group, base, Arithmetic::add, 0.0, itself));
      const double top = fold(group, base, Arithmetic::maximum, extreme(true), itself);
      if (!(std::abs(top) < INFINITY)) return top;
      return top + std::log(fold(group, base, Arithmetic::add, 0.0,
                                 [top](double value) { return std::exp(value - top); }));
    }
    return 0;
  }
  template <typename Group>
  __device__ void operator()(std::int64_t i, const Group& group) const {
    const Sum<T> result = of(kept(i), group);
    if (group.first()) y[i] = narrow<T>(static_cast<Wide<T>>(result));
  }
};

bool of_real_numbers(Reduction reduction) {
  return reduction == Reduction::l2 || reduction == Reduction::log_sum || reduction == Reduction::log_sum_exp;
}

}  // namespace

KernelPtr reduce_kernel(const Operation& op, Queue& queue) {
  if (op.kind != Kind::reduce) return nullptr;
  const Shape& x = op.inputs[0].shape;
  const Reduction reduction = op.attributes.reduction;
  if (of_real_numbers(reduction) && !tensor::is_real(op.inputs[0].type)) return nullptr;
  // An element of x is found by the number of its result and its number among those that are reduced to it.
  std::vector<std::int64_t> dims[2], steps[2];
  const std::vector<std::int64_t> strides = strides_of(x);
  bool beside = false;  // the last axis stays
  for (std::size_t axis = 0; axis < x.rank(); ++axis) {
    const auto& axes = op.attributes.axes;
    const bool reduced = std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(axis)) != axes.end();
    dims[reduced].push_back(x[axis]);
    steps[reduced].push_back(strides[axis]);
    if (x[axis] > 1) beside = !reduced;
  }
  Walk kept, gone;
  if (!make_walk(dims[0], steps[0], 0, kept) || !make_walk(dims[1], steps[1], 0, gone)) return nullptr;
  const std::int64_t results = op.outputs[0].shape.elements(), terms = Shape(dims[1]).elements();
  return by_type(op.inputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return closure(op, [=, &queue](const At& at) {
      each_group(queue, results, terms, beside,
                 Reduce<T>{reduction, kept, gone, terms, at.in<T>(0), at.out<T>(0)});
    });
  });
}

}  // namespace trainyard::ops::cuda
