#include "common/codec/topk.hpp"

#include <array>
#include <bit>
#include <numeric>

namespace trainyard::codec {

namespace {

std::uint32_t magnitude(float value) { return std::bit_cast<std::uint32_t>(value) & 0x7fffffff; }

}  // namespace

std::vector<std::uint32_t> largest(std::span<const float> values, std::size_t count) {
  std::vector<std::uint32_t> places;
  if (count >= values.size()) {
    places.resize(values.size());
    std::iota(places.begin(), places.end(), 0);
    return places;
  }
  if (count == 0) return places;
  // `prefix`: the upper bits of the magnitude that is number `count`; `left`: how many with it are taken.
  std::uint32_t prefix = 0;
  std::size_t left = count;
  int shift = 31;
  for (const int bits : {11, 10, 10}) {
    const int above = shift;
    shift -= bits;
    std::array<std::size_t, 2048> histogram{};
    for (const float value : values) {
      const std::uint32_t m = magnitude(value);
      if (m >> above == prefix) ++histogram[m >> shift & ((1u << bits) - 1)];
    }
    std::uint32_t digit = (1u << bits) - 1;
    while (histogram[digit] < left) left -= histogram[digit--];
    prefix = prefix << bits | digit;
  }
  places.reserve(count);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint32_t m = magnitude(values[i]);
    if (m < prefix || (m == prefix && left == 0)) continue;
    if (m == prefix) --left;
    places.push_back(static_cast<std::uint32_t>(i));
  }
  return places;
}

}  // namespace trainyard::codec
