// Which shard owns which floats of the flat value array; pure, the same answer everywhere.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace trainyard::optim {

/// A tensor, and how it is updated; the settings are carried through to its slices.
struct TensorSize {
  std::uint64_t length = 0;  // floats
  std::uint8_t kind = 0;
  double rate = 1;        // times the step's rate
  double decay = 0;       // weight decay; ftrl: share of l1 and l2 that holds
  bool frozen = false;    // no shard owns it, it stays as it is
  std::uint64_t row = 0;  // floats of a row where its gradient comes as rows, else 0; it is then never cut
};

struct Slice {
  std::uint32_t shard = 0;
  std::uint64_t offset = 0;  // in the flat array, which holds the tensors one after the other
  std::uint64_t length = 0;
  std::uint8_t kind = 0;
  double rate = 1, decay = 0;
  std::uint64_t row = 0;
  friend bool operator==(const Slice&, const Slice&) = default;
};

inline constexpr std::uint64_t slice_floats_usual = 65536;
inline constexpr std::uint64_t slice_floats_whole = ~std::uint64_t{0};  // a tensor is never cut

/// Cuts tensors above `slice_floats_max` into even pieces and gives each piece to the shard with the fewest
/// floats so far (the lowest number on a tie). Ordered by offset; covers every float that is not frozen once;
/// shards > 0.
std::vector<Slice> slice_over(std::span<const TensorSize> tensors, std::uint32_t shards,
                              std::uint64_t slice_floats_max = slice_floats_usual);

}  // namespace trainyard::optim
