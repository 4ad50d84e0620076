#include "common/rows/first.hpp"

#include <algorithm>

#include "common/base/random.hpp"
#include "common/rows/partition.hpp"

namespace trainyard::rows {

namespace {

constexpr std::uint64_t golden = 0x9e3779b97f4a7c15ull;  // the step of splitmix64

}  // namespace

void first_values(const First& first, std::uint64_t seed, std::uint64_t table, std::uint64_t id,
                  std::span<float> out) {
  if (first.kind == FirstKind::zeros) {
    std::fill(out.begin(), out.end(), 0.0F);
    return;
  }
  const std::uint64_t key = mix(seed, table, id);
  if (first.kind == FirstKind::uniform) {
    const float unit = first.scale * 0x1p-23F;
    for (std::size_t i = 0; i < out.size(); ++i) {
      const std::uint64_t bits = hash_of(key + (i + 1) * golden);
      out[i] = static_cast<float>(static_cast<std::int32_t>(bits >> 40) - (1 << 23)) * unit;
    }
    return;
  }
  // Each of the four is uniform in 0..65535, of variance (65536^2 - 1) / 12.
  constexpr float deviation = 37837.227F;  // of the sum: 65536 / sqrt(3)
  constexpr std::int32_t middle = 2 * 65535;
  const float unit = first.scale / deviation;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::uint64_t bits = hash_of(key + (i + 1) * golden);
    const std::uint64_t pairs = (bits & 0x0000ffff0000ffffull) + ((bits >> 16) & 0x0000ffff0000ffffull);
    const auto sum = static_cast<std::int32_t>((pairs & 0xffffffffull) + (pairs >> 32));
    out[i] = static_cast<float>(sum - middle) * unit;
  }
}

}  // namespace trainyard::rows
