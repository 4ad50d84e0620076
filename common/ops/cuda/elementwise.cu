// One element of the result from one element of each operand. What has no broadcasting runs over the bytes
// as they lie, several elements a thread.
#include "common/ops/arithmetic.hpp"
#include "common/ops/cuda/kernel.hpp"
#include "common/ops/cuda/numbers.hpp"
#include "common/ops/cuda/walk.hpp"
#include "common/ops/dropout_mask.hpp"
#include "common/ops/functions.hpp"

namespace trainyard::ops::cuda {
namespace {

template <typename T>
inline constexpr int kPack = sizeof(T) >= 8 ? 2 : static_cast<int>(16 / sizeof(T) > 8 ? 8 : 16 / sizeof(T));

/// Calls use(k) for the elements of pack `i`; the last pack may be short.
template <int N, typename Use>
__device__ void each_of_pack(std::int64_t i, std::int64_t count, const Use& use) {
  const std::int64_t first = i * N;
  for (int k = 0; k < N; ++k)
    if (first + k < count) use(first + k);
}

/// Reads a pack of each of `operands`, and writes map(values...) one by one.
template <typename T, typename Out, int N, typename Map>
__device__ void map_pack(std::int64_t i, std::int64_t count, const T* a, const T* b, Out* y, const Map& map) {
  const std::int64_t first = i * N;
  if (first + N <= count) {
    const auto left = *reinterpret_cast<const Pack<T, N>*>(a + first);
    const auto right = b != nullptr ? *reinterpret_cast<const Pack<T, N>*>(b + first) : left;
    Pack<Out, N> out;
    for (int k = 0; k < N; ++k) out.at[k] = map(left.at[k], right.at[k]);
    *reinterpret_cast<Pack<Out, N>*>(y + first) = out;
    return;
  }
  for (std::int64_t k = first; k < count; ++k) y[k] = map(a[k], b != nullptr ? b[k] : a[k]);
}

std::int64_t packs(std::int64_t count, int size) { return (count + size - 1) / size; }

template <typename T, typename Out>
struct UnaryMap {
  Function function;
  Coefficients numbers;
  std::int64_t count;
  const T* x;
  Out* y;
  __device__ void operator()(std::int64_t i) const {
    map_pack<T, Out, kPack<T>>(i, count, x, nullptr, y, [this](T value, T) { return of(value); });
  }
  __device__ Out of(T value) const {
    if constexpr (std::is_same_v<Out, std::uint8_t> && !std::is_same_v<T, std::uint8_t>) {
      if constexpr (kIsReal<T>)
        return value_of(function, numbers, widen(value)) != 0 ? 1 : 0;
      else
        return whole_value_of(function, numbers, value) != 0 ? 1 : 0;
    } else if constexpr (kIsReal<T>) {
      return narrow<T>(value_of(function, numbers, widen(value)));
    } else {
      return whole_value_of(function, numbers, value);
    }
  }
};

Coefficients numbers_of(const Attributes& a) { return {a.alpha, a.beta}; }

KernelPtr unary(const Operation& op, Queue& queue) {
  const std::int64_t count = op.inputs[0].shape.elements();
  const Attributes& a = op.attributes;
  const DType to = op.outputs[0].type;
  const std::vector<LayoutPtr> outputs{layout_like(op.inputs[0], to)};
  return by_type(op.inputs[0].type, [&]<typename T>(T) -> KernelPtr {
    if (!kIsReal<T> && !takes_whole_numbers(a.function)) return nullptr;
    const auto make = [&]<typename Out>(Out) {
      auto kernel = std::make_unique<Closure>(
          outputs, [=, &queue, function = a.function, numbers = numbers_of(a)](const At& at) {
            each(queue, packs(count, kPack<T>),
                 UnaryMap<T, Out>{function, numbers, count, at.in<T>(0), at.out<Out>(0)});
          });
      if (sizeof(Out) == sizeof(T)) kernel->over(0);
      return kernel;
    };
    if (to == DType::u8) return make(std::uint8_t{});
    return make(T{});
  });
}

template <typename T>
struct UnaryGradMap {
  Function function;
  Coefficients numbers;
  std::int64_t count;
  const T *from, *dy;  // x or y, whichever the function wants; null: neither
  T* dx;
  __device__ void operator()(std::int64_t i) const {
    map_pack<T, T, kPack<T>>(i, count, dy, from, dx, [this](T gradient, T value) {
      const float v = widen(value);
      return narrow<T>(slope_of(function, numbers, v, v) * widen(gradient));
    });
  }
};

KernelPtr unary_grad(const Operation& op, Queue& queue) {
  const std::int64_t count = op.outputs[0].shape.elements();
  const Attributes& a = op.attributes;
  const GradNeeds needs = grad_needs(a.function);
  const std::size_t from = needs.x ? 0 : 1;
  const bool needed = needs.x || needs.y;
  // All lie as dy does; the caller has brought them there.
  return by_real(op.outputs[0].type, [&]<typename T>(T) -> KernelPtr {
    auto kernel = std::make_unique<Closure>(
        std::vector{layout_like(op.inputs[2], op.outputs[0].type)},
        [=, &queue, function = a.function, numbers = numbers_of(a)](const At& at) {
          each(queue, packs(count, kPack<T>),
               UnaryGradMap<T>{function, numbers, count, needed ? at.in<T>(from) : nullptr, at.in<T>(2),
                               at.out<T>(0)});
        });
    kernel->over(2);
    return kernel;
  });
}

template <typename T, typename Out>
__device__ Out combined(Arithmetic arithmetic, T a, T b) {
  if constexpr (std::is_same_v<Out, std::uint8_t>) {
    if (is_comparison(arithmetic)) return holds(arithmetic, widen(a), widen(b)) ? 1 : 0;
  }
  if constexpr (std::is_same_v<Out, T>)
    return narrow<T>(combine(arithmetic, widen(a), widen(b)));
  else
    return 0;
}

template <typename T, typename Out>
struct BinaryMap {
  Arithmetic arithmetic;
  std::int64_t count;
  const T *a, *b;
  Out* y;
  __device__ void operator()(std::int64_t i) const {
    map_pack<T, Out, kPack<T>>(i, count, a, b, y,
                               [this](T left, T right) { return combined<T, Out>(arithmetic, left, right); });
  }
};

template <typename T, typename Out>
struct BinaryWalk {
  Arithmetic arithmetic;
  Walk left, right;
  const T *a, *b;
  Out* y;
  __device__ void operator()(std::int64_t i) const {
    y[i] = combined<T, Out>(arithmetic, a[left(i)], b[right(i)]);
  }
};

KernelPtr binary(const Operation& op, Queue& queue) {
  const Operand &a = op.inputs[0], &b = op.inputs[1];
  const Shape& y = op.outputs[0].shape;
  const Arithmetic arithmetic = op.attributes.arithmetic;
  const std::int64_t count = y.elements();
  const bool flat = a.shape == b.shape;
  Walk left, right;
  if (!flat && (!broadcast_walk(a.shape, y, left) || !broadcast_walk(b.shape, y, right))) return nullptr;
  const std::vector<LayoutPtr> outputs{flat ? layout_like(a, op.outputs[0].type)
                                            : plain_layout(y, op.outputs[0].type)};
  return by_type(a.type, [&]<typename T>(T) -> KernelPtr {
    const auto make = [&]<typename Out>(Out) {
      auto kernel = std::make_unique<Closure>(outputs, [=, &queue](const At& at) {
        if (flat)
          each(queue, packs(count, kPack<T>),
               BinaryMap<T, Out>{arithmetic, count, at.in<T>(0), at.in<T>(1), at.out<Out>(0)});
        else
          each(queue, count,
               BinaryWalk<T, Out>{arithmetic, left, right, at.in<T>(0), at.in<T>(1), at.out<Out>(0)});
      });
      if (flat && sizeof(T) == sizeof(Out)) kernel->over(0);
      return kernel;
    };
    if (is_comparison(arithmetic)) return make(std::uint8_t{});
    return make(T{});
  });
}

template <typename T>
struct WhereWalk {
  Walk on, left, right;
  const std::uint8_t* condition;
  const T *a, *b;
  T* y;
  __device__ void operator()(std::int64_t i) const {
    y[i] = condition[on(i)] != 0 ? a[left(i)] : b[right(i)];
  }
};

KernelPtr where(const Operation& op, Queue& queue) {
  const Shape& y = op.outputs[0].shape;
  const std::int64_t count = y.elements();
  Walk on, left, right;
  if (!broadcast_walk(op.inputs[0].shape, y, on) || !broadcast_walk(op.inputs[1].shape, y, left) ||
      !broadcast_walk(op.inputs[2].shape, y, right))
    return nullptr;
  return by_size(op.outputs[0].type, [&]<typename T>(T) -> KernelPtr {
    return closure(op, [=, &queue](const At& at) {
      each(queue, count,
           WhereWalk<T>{on, left, right, at.in<std::uint8_t>(0), at.in<T>(1), at.in<T>(2), at.out<T>(0)});
    });
  });
}

template <typename From, typename To>
__device__ To converted(From x) {
  if constexpr (kIsReal<From> && kIsReal<To>)
    return narrow<To>(widen(x));
  else if constexpr (kIsReal<From>)
    return whole_from<To>(widen(x));
  else if constexpr (kIsReal<To>)
    return narrow<To>(static_cast<float>(x));
  else
    return static_cast<To>(x);
}

/// Between real numbers: the conversions of every step of a training in mixed precision.
template <typename From, typename To>
struct CastMap {
  std::int64_t count;
  const From* x;
  To* y;
  __device__ void operator()(std::int64_t i) const {
    map_pack<From, To, 4>(i, count, x, nullptr, y,
                          [](From value, From) { return converted<From, To>(value); });
  }
};

/// Any pair of types, one element at a time.
struct CastEach {
  DType from, to;
  const void* x;
  void* y;
  template <typename T>
  __device__ T at(std::int64_t i) const {
    return static_cast<const T*>(x)[i];
  }
  template <typename From>
  __device__ void give(std::int64_t i, From value) const {
    switch (to) {
      case DType::f32:
        static_cast<float*>(y)[i] = converted<From, float>(value);
        break;
      case DType::bf16:
        static_cast<Bf16*>(y)[i] = converted<From, Bf16>(value);
        break;
      case DType::f16:
        static_cast<F16*>(y)[i] = converted<From, F16>(value);
        break;
      case DType::i32:
        static_cast<std::int32_t*>(y)[i] = converted<From, std::int32_t>(value);
        break;
      case DType::i64:
        static_cast<std::int64_t*>(y)[i] = converted<From, std::int64_t>(value);
        break;
      case DType::u8:
        static_cast<std::uint8_t*>(y)[i] = converted<From, std::uint8_t>(value);
        break;
    }
  }
  __device__ void operator()(std::int64_t i) const {
    switch (from) {
      case DType::f32:
        return give(i, at<float>(i));
      case DType::bf16:
        return give(i, widen(at<Bf16>(i)));
      case DType::f16:
        return give(i, widen(at<F16>(i)));
      case DType::i32:
        return give(i, static_cast<std::int64_t>(at<std::int32_t>(i)));
      case DType::i64:
        return give(i, at<std::int64_t>(i));
      case DType::u8:
        return give(i, static_cast<std::int64_t>(at<std::uint8_t>(i)));
    }
  }
};

KernelPtr cast(const Operation& op, Queue& queue) {
  const std::int64_t count = op.inputs[0].shape.elements();
  const DType from = op.inputs[0].type, to = op.outputs[0].type;
  const std::vector<LayoutPtr> outputs{layout_like(op.inputs[0], to)};
  const auto map = [&]<typename From, typename To>(From, To) {
    return std::make_unique<Closure>(outputs, [=, &queue](const At& at) {
      each(queue, packs(count, 4), CastMap<From, To>{count, at.in<From>(0), at.out<To>(0)});
    });
  };
  if (from == DType::f32 && to == DType::bf16) return map(float{}, Bf16{});
  if (from == DType::f32 && to == DType::f16) return map(float{}, F16{});
  if (from == DType::bf16 && to == DType::f32) return map(Bf16{}, float{});
  if (from == DType::f16 && to == DType::f32) return map(F16{}, float{});
  return std::make_unique<Closure>(outputs, [=, &queue](const At& at) {
    each(queue, count, CastEach{from, to, at.in(0), at.out(0)});
  });
}

template <typename T>
struct DropoutEach {
  std::uint64_t seed;
  double rate;
  float scale;
  std::int64_t values;  // of a sample
  const T* x;
  const std::uint64_t *keys, *step;
  T* y;
  __device__ void operator()(std::int64_t i) const {
    const DropoutMask mask(seed, *step, keys[i / values], rate);
    y[i] = narrow<T>(mask.keeps(static_cast<std::uint64_t>(i % values)) ? widen(x[i]) * scale : 0.0f);
  }
};

/// Row major: the number of a value within its sample decides whether it is kept.
KernelPtr dropout(const Operation& op, Queue& queue) {
  const Shape& shape = op.outputs[0].shape;
  const std::int64_t count = shape.elements(), values = shape.volume(1);
  const std::uint64_t seed = op.attributes.seed;
  const double rate = op.attributes.rate;
  return by_real(op.outputs[0].type, [&]<typename T>(T) -> KernelPtr {
    auto kernel = closure(op, [=, &queue](const At& at) {
      each(queue, count,
           DropoutEach<T>{seed, rate, static_cast<float>(1.0 / (1.0 - rate)), values, at.in<T>(0),
                          at.in<std::uint64_t>(1), at.in<std::uint64_t>(2), at.out<T>(0)});
    });
    kernel->over(0);
    return kernel;
  });
}

}  // namespace

KernelPtr elementwise_kernel(const Operation& op, Queue& queue) {
  switch (op.kind) {
    case Kind::unary:
      return unary(op, queue);
    case Kind::unary_grad:
      return unary_grad(op, queue);
    case Kind::binary:
      return binary(op, queue);
    case Kind::where:
      return where(op, queue);
    case Kind::cast:
      return cast(op, queue);
    case Kind::dropout:
    case Kind::dropout_grad:
      return dropout(op, queue);
    default:
      return nullptr;
  }
}

}  // namespace trainyard::ops::cuda
