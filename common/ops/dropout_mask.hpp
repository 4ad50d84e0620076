// Which values dropout keeps. Counter-based, so that a sample's mask is the same on whichever trainer it
// runs, and the backward pass draws it again instead of storing it.
#pragma once

#include <cstdint>

#include "common/base/random.hpp"

namespace trainyard::ops {

class DropoutMask {
 public:
  /// `seed` of job and layer, `step` of the training, `key` of the sample; rate in [0, 1).
  constexpr DropoutMask(std::uint64_t seed, std::uint64_t step, std::uint64_t key, double rate)
      : base_(mix(seed, step, key)), threshold_(static_cast<std::uint64_t>(rate * 0x1.0p32)) {}
  constexpr bool keeps(std::uint64_t element) const {
    std::uint64_t state = base_ + element * 0x9e3779b97f4a7c15ull;
    return (splitmix64(state) >> 32) >= threshold_;
  }

 private:
  std::uint64_t base_;
  std::uint64_t threshold_;
};

}  // namespace trainyard::ops
