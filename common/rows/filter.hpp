// How often ids were seen, in a byte a cell and not in one an id: decides when an id gets a row. Counts are
// never too low, sometimes too high, where others fall on both cells of an id. One filter a stripe; belongs
// to the stripe's writer.
#pragma once

#include <cstdint>
#include <vector>

namespace trainyard::rows {

/// Two cells an id, of which only the lower ones are raised (Estan and Varghese, "New directions in traffic
/// measurement and accounting", 2002, "conservative update").
class CountingFilter {
 public:
  /// A power of two, at least 2.
  explicit CountingFilter(std::uint64_t cells) : cells_(cells, 0) {}

  /// One more of it: how many there were now, 255 at most. After eight times as many calls as there are cells
  /// all counts are halved, so that what was long ago does not fill the filter up.
  std::uint8_t add(std::uint64_t hash);

  const std::vector<std::uint8_t>& cells() const { return cells_; }
  std::uint64_t added() const { return added_; }
  /// Counts of another filter of as many cells on top of these.
  void merge(const std::uint8_t* cells, std::uint64_t added);

 private:
  std::vector<std::uint8_t> cells_;
  std::uint64_t added_ = 0;  // since the last halving
};

}  // namespace trainyard::rows
