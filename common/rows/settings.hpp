// What a table of rows is told when it is made, and how a row lies in memory and in files.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "common/base/result.hpp"
#include "common/optim/optimizer.hpp"
#include "common/optim/rows.hpp"
#include "common/rows/first.hpp"

namespace trainyard::rows {

inline constexpr std::uint32_t width_max = 16384;
inline constexpr std::uint32_t admit_after_max = 255;
inline constexpr std::uint64_t expire_after_max = std::uint64_t{1} << 30;
inline constexpr std::uint64_t filter_cells_max = std::uint64_t{1} << 32;

struct Settings {
  std::uint64_t table = 0;  // its number in the job
  std::uint64_t seed = 0;
  std::uint32_t width = 0;  // floats of a row, 1..width_max
  First first;
  config::OptimizerSection optimizer;  // not lars, lamb
  optim::SliceRule rule;
  std::uint32_t admit_after = 1;  // pushes that name an id until it gets a row: 1..admit_after_max
  std::uint64_t filter_cells = std::uint64_t{1} << 22;  // where that is above 1; a power of two, 512 at least
  std::uint64_t expire_after = 0;  // a row is dropped after so many updates without a push of it; 0: never
  std::uint64_t memory_bytes_max = 0;  // of rows in memory, the others are spilled; 0: all are in memory
  std::string spill_directory;         // given exactly where memory_bytes_max is
};

/// Errors: invalid, with the name of the setting and its range.
Status validate(const Settings& settings);

/// A row: values, then the rule's arrays, then, where the rule counts, a 32-bit number of updates.
class Layout {
 public:
  explicit Layout(const Settings& settings);

  std::uint32_t width() const { return width_; }
  /// Of what is kept and saved of a row, in floats.
  std::uint32_t floats() const { return floats_; }
  /// From one row to the next in memory, in floats: rows above a cache line begin with one, shorter ones do
  /// not lie across two.
  std::uint32_t stride() const { return stride_; }
  const std::string& arrays() const { return arrays_; }

  optim::RowTarget target(float* row) const {
    optim::RowTarget out{.values = row};
    for (std::size_t k = 0; k < out.arrays.size(); ++k)
      out.arrays[k] = offsets_[k] == 0 ? nullptr : row + offsets_[k];
    return out;
  }
  /// Raises the number of updates and returns it; 1 where the rule does not count.
  std::uint64_t count(float* row) const;
  /// The rest of a row whose values are there: as before its first update.
  void begin(float* row) const;

 private:
  std::uint32_t width_, floats_, stride_;
  bool counts_;
  std::array<std::uint32_t, optim::rule_arrays_max> offsets_{};  // 0: the rule has no such array
  std::array<float, optim::rule_arrays_max> firsts_{};
  std::string arrays_;  // their names, as files tell them
};

}  // namespace trainyard::rows
