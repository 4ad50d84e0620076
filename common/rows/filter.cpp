#include "common/rows/filter.hpp"

#include <algorithm>

namespace trainyard::rows {

namespace {

constexpr std::uint64_t adds_per_cell = 8;
constexpr std::uint8_t count_max = 255;

}  // namespace

std::uint8_t CountingFilter::add(std::uint64_t hash) {
  if (added_ >= adds_per_cell * cells_.size()) {
    for (std::uint8_t& cell : cells_) cell /= 2;
    added_ = 0;
  }
  ++added_;
  const std::uint64_t mask = cells_.size() - 1;
  std::uint8_t& first = cells_[hash & mask];
  std::uint8_t& second = cells_[(hash >> 28) & mask];
  const std::uint8_t low = std::min(first, second);
  const std::uint8_t count = low == count_max ? low : static_cast<std::uint8_t>(low + 1);
  first = std::max(first, count);
  second = std::max(second, count);
  return count;
}

void CountingFilter::merge(const std::uint8_t* cells, std::uint64_t added) {
  for (std::size_t i = 0; i < cells_.size(); ++i)
    cells_[i] = static_cast<std::uint8_t>(std::min<unsigned>(count_max, unsigned{cells_[i]} + cells[i]));
  added_ += added;
}

}  // namespace trainyard::rows
