// Short real numbers as float: what file formats hold beside it. Values.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace trainyard::graph {

/// IEEE 754 binary16.
inline float float_of_half(std::uint16_t bits) {
  const std::uint32_t sign = std::uint32_t{bits & 0x8000u} << 16, exponent = (bits >> 10) & 0x1fu,
                      mantissa = bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | mantissa << 13);
  if (exponent == 0) {
    const float small = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -small : small;
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

/// The upper half of a float.
inline float float_of_bfloat16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

/// OCP 8-bit floating point (OFP8, 2023): E5M2 is the upper half of binary16.
inline float float_of_e5m2(std::uint8_t bits) {
  return float_of_half(static_cast<std::uint16_t>(std::uint32_t{bits} << 8));
}
/// E4M3: bias 7, no infinities, all ones is not a number.
inline float float_of_e4m3(std::uint8_t bits) {
  const int exponent = (bits >> 3) & 0xf, mantissa = bits & 7;
  float value = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                              : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  if (exponent == 15 && mantissa == 7) value = std::numeric_limits<float>::quiet_NaN();
  return (bits & 0x80) != 0 ? -value : value;
}

}  // namespace trainyard::graph
