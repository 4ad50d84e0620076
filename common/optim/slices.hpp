// Which shard owns which floats of the flat value array; pure, the same answer everywhere.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace trainyard::optim {

struct TensorSize {
  std::uint64_t length = 0;  // floats
  std::uint8_t kind = 0;     // carried through to the slices
};

struct Slice {
  std::uint32_t shard = 0;
  std::uint64_t offset = 0;  // in the flat array, which holds the tensors one after the other
  std::uint64_t length = 0;
  std::uint8_t kind = 0;
  friend bool operator==(const Slice&, const Slice&) = default;
};

/// Cuts tensors above `slice_floats_max` into even pieces and gives each piece to the shard with the fewest
/// floats so far (the lowest number on a tie). Ordered by offset; covers every float once; shards > 0.
std::vector<Slice> slice_over(std::span<const TensorSize> tensors, std::uint32_t shards,
                              std::uint64_t slice_floats_max = 65536);

}  // namespace trainyard::optim
