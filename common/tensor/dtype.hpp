// The types of a tensor's elements. A value.
#pragma once

#include <cstddef>
#include <cstdint>

namespace trainyard::tensor {

/// f32 stands for the real numbers of a backend: the oracle computes in double what others do in float.
enum class DType : std::uint8_t { f32, bf16, f16, i32, i64, u8 };

constexpr std::size_t size_of(DType type) {
  switch (type) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::bf16:
    case DType::f16:
      return 2;
    case DType::i64:
      return 8;
    case DType::u8:
      return 1;
  }
  return 0;
}

constexpr const char* name_of(DType type) {
  switch (type) {
    case DType::f32:
      return "fp32";
    case DType::bf16:
      return "bf16";
    case DType::f16:
      return "fp16";
    case DType::i32:
      return "int32";
    case DType::i64:
      return "int64";
    case DType::u8:
      return "uint8";
  }
  return "type";
}

constexpr bool is_real(DType type) { return type == DType::f32 || type == DType::bf16 || type == DType::f16; }

}  // namespace trainyard::tensor
