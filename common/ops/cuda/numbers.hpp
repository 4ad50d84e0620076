// The types of elements in device code: real numbers in 16 bits are storage, read and written as floats.
// Private to this backend.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

#include "common/ops/backend.hpp"
#include "common/tensor/half.hpp"
#include "launch.hpp"

namespace trainyard::ops::cuda {

struct Bf16 {
  std::uint16_t bits;
};
struct F16 {
  std::uint16_t bits;
};

/// What formulas want beside x.
struct Coefficients {
  double alpha = 0, beta = 0;
};

template <typename T>
inline constexpr bool kIsReal = std::is_same_v<T, float> || std::is_same_v<T, Bf16> || std::is_same_v<T, F16>;

template <typename T>
__device__ inline T widen(T x) {
  return x;
}
__device__ inline float widen(Bf16 x) { return tensor::float_from_bf16(x.bits); }
__device__ inline float widen(F16 x) { return tensor::float_from_f16(x.bits); }

/// What arithmetic on elements of type T is done in.
template <typename T>
using Wide = std::conditional_t<kIsReal<T>, float, T>;

template <typename T>
__device__ inline T narrow(Wide<T> x) {
  if constexpr (std::is_same_v<T, Bf16>)
    return {tensor::bf16_from_float(x)};
  else if constexpr (std::is_same_v<T, F16>)
    return {tensor::f16_from_float(x)};
  else
    return x;
}

/// N elements that are read and written at once.
template <typename T, int N>
struct alignas(sizeof(T) * N) Pack {
  T at[N];
};

/// make(T{}) with the type of the elements; a default result where there is none.
template <typename Make>
auto by_real(DType type, const Make& make) -> decltype(make(float{})) {
  switch (type) {
    case DType::f32:
      return make(float{});
    case DType::bf16:
      return make(Bf16{});
    case DType::f16:
      return make(F16{});
    default:
      return {};
  }
}
template <typename Make>
auto by_type(DType type, const Make& make) -> decltype(make(float{})) {
  switch (type) {
    case DType::i32:
      return make(std::int32_t{});
    case DType::i64:
      return make(std::int64_t{});
    case DType::u8:
      return make(std::uint8_t{});
    default:
      return by_real(type, make);
  }
}
/// Of what only moves elements: a whole number of their size.
template <typename Make>
auto by_size(DType type, const Make& make) -> decltype(make(float{})) {
  switch (tensor::size_of(type)) {
    case 1:
      return make(std::uint8_t{});
    case 2:
      return make(std::uint16_t{});
    case 4:
      return make(std::uint32_t{});
    default:
      return make(std::uint64_t{});
  }
}
/// Of an operand that is i32 or i64.
template <typename Make>
auto by_index(DType type, const Make& make) -> decltype(make(std::int32_t{})) {
  return type == DType::i32 ? make(std::int32_t{}) : make(std::int64_t{});
}

}  // namespace trainyard::ops::cuda
