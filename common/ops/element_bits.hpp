// A number as the element of a tensor. What the backends share.
#pragma once

#include <bit>
#include <cstdint>

#include "common/ops/arithmetic.hpp"
#include "common/tensor/dtype.hpp"
#include "common/tensor/half.hpp"

namespace trainyard::ops {

/// The bits of a number as an element of `type`, in the low end; f32 are the backend's Real.
template <typename Real>
std::uint64_t element_bits(tensor::DType type, double value) {
  using tensor::DType;
  switch (type) {
    case DType::f32:
      if constexpr (sizeof(Real) == 8) return std::bit_cast<std::uint64_t>(static_cast<double>(value));
      return std::bit_cast<std::uint32_t>(static_cast<float>(value));
    case DType::bf16:
      return tensor::bf16_from_float(static_cast<float>(value));
    case DType::f16:
      return tensor::f16_from_float(static_cast<float>(value));
    case DType::i32:
      return static_cast<std::uint64_t>(whole_from<std::int32_t>(value));
    case DType::i64:
      return static_cast<std::uint64_t>(whole_from<std::int64_t>(value));
    case DType::u8:
      return whole_from<std::uint8_t>(value);
  }
  return 0;
}

}  // namespace trainyard::ops
