// Operations along one axis. A line is taken by a team of threads, or, where lines are short or lie beside
// each other, by one thread: the same code over a group of either kind.
#include <cmath>

#include "common/ops/arithmetic.hpp"
#include "common/ops/cuda/group.hpp"
#include "common/ops/cuda/kernel.hpp"
#include "common/ops/cuda/numbers.hpp"
#include "common/ops/cuda/walk.hpp"

namespace trainyard::ops::cuda {
namespace {

template <typename T>
struct Softmax {
  Lines lines;
  bool logarithm;
  const T* x;
  T* y;
  template <typename Group>
  __device__ void operator()(std::int64_t line, const Group& group) const {
    const std::int64_t first = lines.first(line, lines.extent);
    float top = -INFINITY, sum = 0;
    group.over(lines.extent, [&](std::int64_t k) {
      top = combine(Arithmetic::maximum, top, widen(x[first + k * lines.inner]));
    });
    top = group.reduce(top, [](float a, float b) { return combine(Arithmetic::maximum, a, b); });
    group.over(lines.extent,
               [&](std::int64_t k) { sum += std::exp(widen(x[first + k * lines.inner]) - top); });
    sum = group.reduce(sum, [](float a, float b) { return a + b; });
    const float log_sum = std::log(sum);
    group.over(lines.extent, [&](std::int64_t k) {
      const float shifted = widen(x[first + k * lines.inner]) - top;
      y[first + k * lines.inner] = narrow<T>(logarithm ? shifted - log_sum : std::exp(shifted) / sum);
    });
  }
};

template <typename T>
struct SoftmaxGrad {
  Lines lines;
  bool logarithm;
  const T *y, *dy;
  T* dx;
  template <typename Group>
  __device__ void operator()(std::int64_t line, const Group& group) const {
    const std::int64_t first = lines.first(line, lines.extent);
    float sum = 0;
    group.over(lines.extent, [&](std::int64_t k) {
      const std::int64_t at = first + k * lines.inner;
      sum += (logarithm ? 1.0f : widen(y[at])) * widen(dy[at]);
    });
    sum = group.reduce(sum, [](float a, float b) { return a + b; });
    group.over(lines.extent, [&](std::int64_t k) {
      const std::int64_t at = first + k * lines.inner;
      const float value = widen(y[at]), gradient = widen(dy[at]);
      dx[at] = narrow<T>(logarithm ? gradient - std::exp(value) * sum : value * (gradient - sum));
    });
  }
};

KernelPtr softmax(const Operation& op, Queue& queue, bool logarithm) {
  const Lines lines(op.inputs[0].shape, op.attributes.axis);
  return by_real(op.inputs[0].type, [&]<typename T>(T) -> KernelPtr {
    auto kernel = closure(op, [=, &queue](const At& at) {
      each_group(queue, lines.count(), lines.extent, lines.inner > 1,
                 Softmax<T>{lines, logarithm, at.in<T>(0), at.out<T>(0)});
    });
    kernel->over(0);
    return kernel;
  });
}

KernelPtr softmax_grad(const Operation& op, Queue& queue, bool logarithm) {
  const Lines lines(op.inputs[0].shape, op.attributes.axis);
  return by_real(op.inputs[0].type, [&]<typename T>(T) -> KernelPtr {
    auto kernel = closure(op, [=, &queue](const At& at) {
      each_group(queue, lines.count(), lines.extent, lines.inner > 1,
                 SoftmaxGrad<T>{lines, logarithm, at.in<T>(0), at.in<T>(1), at.out<T>(0)});
    });
    kernel->over(1);
    return kernel;
  });
}

/// Does `a` come before `b` among the largest or smallest? What is not a number comes first.
template <typename T>
__device__ bool precedes(T a, T b, bool largest) {
  if (not_a_number(b)) return false;
  return not_a_number(a) || (largest ? a > b : a < b);
}

template <typename T>
struct ArgExtreme {
  Lines lines;
  bool largest;
  const T* x;
  std::int64_t* y;
  __device__ void operator()(std::int64_t line) const {
    const T* const from = x + lines.first(line, lines.extent);
    std::int64_t best = 0;
    for (std::int64_t k = 1; k < lines.extent; ++k)
      if (precedes(widen(from[k * lines.inner]), widen(from[best * lines.inner]), largest)) best = k;
    y[line] = best;
  }
};

KernelPtr arg_extreme(const Operation& op, Queue& queue) {
  const Lines lines(op.inputs[0].shape, op.attributes.axis);
  return by_type(op.inputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return closure(op, [=, &queue, largest = op.attributes.largest](const At& at) {
      each(queue, lines.count(), ArgExtreme<T>{lines, largest, at.in<T>(0), at.out<std::int64_t>(0)});
    });
  });
}

/// Each in turn is the best of those that come after the one before: no memory, and size passes.
template <typename T>
struct TopK {
  Lines lines;
  bool largest;
  std::int64_t size;
  const T* x;
  T* values;
  std::int64_t* indices;
  __device__ bool before(const T* from, std::int64_t a, std::int64_t b) const {
    const auto left = widen(from[a * lines.inner]), right = widen(from[b * lines.inner]);
    return precedes(left, right, largest) || (!precedes(right, left, largest) && a < b);
  }
  __device__ void operator()(std::int64_t line) const {
    const T* const from = x + lines.first(line, lines.extent);
    std::int64_t last = -1;
    for (std::int64_t i = 0; i < size; ++i) {
      std::int64_t best = -1;
      for (std::int64_t k = 0; k < lines.extent; ++k)
        if ((last < 0 || before(from, last, k)) && (best < 0 || before(from, k, best))) best = k;
      const std::int64_t to = lines.first(line, size) + i * lines.inner;
      values[to] = from[best * lines.inner];
      indices[to] = last = best;
    }
  }
};

KernelPtr top_k(const Operation& op, Queue& queue) {
  const Lines lines(op.inputs[0].shape, op.attributes.axis);
  return by_type(op.inputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return closure(op, [=, &queue, largest = op.attributes.largest, size = op.attributes.size](const At& at) {
      each(queue, lines.count(),
           TopK<T>{lines, largest, size, at.in<T>(0), at.out<T>(0), at.out<std::int64_t>(1)});
    });
  });
}

template <typename T>
struct CumulativeSum {
  Lines lines;
  bool exclusive, reverse;
  const T* x;
  T* y;
  __device__ void operator()(std::int64_t line) const {
    const std::int64_t first = lines.first(line, lines.extent);
    std::conditional_t<kIsReal<T>, double, T> sum = 0;
    for (std::int64_t i = 0; i < lines.extent; ++i) {
      const std::int64_t k = first + (reverse ? lines.extent - 1 - i : i) * lines.inner;
      const auto next = combine(Arithmetic::add, sum, static_cast<decltype(sum)>(widen(x[k])));
      y[k] = narrow<T>(static_cast<Wide<T>>(exclusive ? sum : next));
      sum = next;
    }
  }
};

KernelPtr cumulative_sum(const Operation& op, Queue& queue) {
  const Lines lines(op.inputs[0].shape, op.attributes.axis);
  return by_type(op.inputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return closure(
        op, [=, &queue, exclusive = op.attributes.exclusive, reverse = op.attributes.reverse](const At& at) {
          each(queue, lines.count(), CumulativeSum<T>{lines, exclusive, reverse, at.in<T>(0), at.out<T>(0)});
        });
  });
}

}  // namespace

KernelPtr along_kernel(const Operation& op, Queue& queue) {
  switch (op.kind) {
    case Kind::arg_extreme:
      return arg_extreme(op, queue);
    case Kind::top_k:
      return top_k(op, queue);
    case Kind::cumulative_sum:
      return cumulative_sum(op, queue);
    case Kind::softmax:
      return softmax(op, queue, false);
    case Kind::log_softmax:
      return softmax(op, queue, true);
    case Kind::softmax_grad:
      return softmax_grad(op, queue, false);
    case Kind::log_softmax_grad:
      return softmax_grad(op, queue, true);
    default:
      return nullptr;
  }
}

}  // namespace trainyard::ops::cuda
