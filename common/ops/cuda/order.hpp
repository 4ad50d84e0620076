// Which places of a list point at each row of a table, in ascending order: what a sum over rows that occur
// several times needs to give the same bits each time. A counting sort without atomic operations on places:
// sections of the list count on their own. Device code, private to this backend.
#pragma once

#include <cstddef>
#include <cstdint>

#include "launch.hpp"

namespace trainyard::ops::cuda {

/// Places begins[r]..begins[r + 1] - 1 of `places` hold the numbers of the list that point at row r.
struct RowOrder {
  const std::int32_t* begins;
  const std::int32_t* places;
};

/// Sections of the list, each with counts of its own; their counts take bounded memory.
inline std::int64_t order_sections(std::int64_t count, std::int64_t rows) {
  const std::int64_t by_length = (count + 255) / 256, by_memory = (std::int64_t{1} << 22) / (rows + 1) + 1;
  const std::int64_t least = by_length < by_memory ? by_length : by_memory;
  return least < 256 ? (least < 1 ? 1 : least) : 256;
}

inline std::size_t order_bytes(std::int64_t count, std::int64_t rows) {
  const std::int64_t sections = order_sections(count, rows);
  return static_cast<std::size_t>(sections * rows + (rows + 1) + count) * sizeof(std::int32_t);
}

/// One thread a section: how often each row occurs in it.
template <typename RowOf>
struct CountSection {
  std::int64_t count, rows, sections;
  RowOf row_of;
  std::int32_t* counts;  // [sections, rows], zero
  __device__ void operator()(std::int64_t section) const {
    const std::int64_t first = section * count / sections, last = (section + 1) * count / sections;
    for (std::int64_t k = first; k < last; ++k) {
      const std::int64_t row = row_of(k);
      if (row >= 0) ++counts[section * rows + row];
    }
  }
};

/// Counts of a row become where each section begins within the row; begins[row + 1] becomes the row's count.
struct ScanSections {
  std::int64_t rows, sections;
  std::int32_t *counts, *begins;
  __device__ void operator()(std::int64_t row) const {
    std::int32_t sum = 0;
    for (std::int64_t section = 0; section < sections; ++section) {
      const std::int32_t own = counts[section * rows + row];
      counts[section * rows + row] = sum;
      sum += own;
    }
    begins[row + 1] = sum;
    if (row == 0) begins[0] = 0;
  }
};

/// begins[r] becomes the sum of all counts in front. One team: each thread a stretch of rows.
struct ScanRows {
  std::int64_t rows;
  std::int32_t* begins;
  __device__ void operator()(const Team& team) const {
    const std::int64_t first = team.thread() * rows / team.threads(),
                       last = (team.thread() + 1) * rows / team.threads();
    std::int32_t sum = 0;
    for (std::int64_t row = first; row < last; ++row) sum += begins[row + 1];
    auto* const sums = team.shared<std::int32_t>();
    sums[team.thread()] = sum;
    team.sync();
    std::int32_t before = 0;
    for (int k = 0; k < team.thread(); ++k) before += sums[k];
    for (std::int64_t row = first; row < last; ++row) begins[row + 1] = before += begins[row + 1];
  }
};

template <typename RowOf>
struct PlaceSection {
  std::int64_t count, rows, sections;
  RowOf row_of;
  std::int32_t* counts;
  const std::int32_t* begins;
  std::int32_t* places;
  __device__ void operator()(std::int64_t section) const {
    const std::int64_t first = section * count / sections, last = (section + 1) * count / sections;
    for (std::int64_t k = first; k < last; ++k) {
      const std::int64_t row = row_of(k);
      if (row >= 0) places[begins[row] + counts[section * rows + row]++] = static_cast<std::int32_t>(k);
    }
  }
};

/// Enqueues the sort of `count` numbers (below 2^31); row_of(k) is the row that number k points at, or -1.
/// `scratch`: order_bytes().
template <typename RowOf>
RowOrder order_rows(Queue& queue, std::int64_t count, std::int64_t rows, void* scratch, const RowOf& row_of) {
  const std::int64_t sections = order_sections(count, rows);
  auto* const counts = static_cast<std::int32_t*>(scratch);
  std::int32_t* const begins = counts + sections * rows;
  std::int32_t* const places = begins + rows + 1;
  zero(queue, counts, static_cast<std::size_t>(sections * rows) * sizeof(std::int32_t));
  each(queue, sections, CountSection<RowOf>{count, rows, sections, row_of, counts});
  each(queue, rows, ScanSections{rows, sections, counts, begins});
  teams(queue, 1, kTeamMax, ScanRows{rows, begins});
  each(queue, sections, PlaceSection<RowOf>{count, rows, sections, row_of, counts, begins, places});
  return {begins, places};
}

}  // namespace trainyard::ops::cuda
