// The order in which an elementwise kernel goes over a result that lies contiguous, and how its operands step
// along: axes that all of them pass alike are one. Private to this backend.
#pragma once

#include <array>

#include "common/ops/cpu/parallel.hpp"
#include "common/ops/cpu/vector/vectors.hpp"

namespace trainyard::ops::cpu {

class Walk {
 public:
  static constexpr std::size_t kOperands = 3;
  using Offsets = std::array<std::int64_t, kOperands>;

  Walk() = default;
  /// Extents in memory, outermost first, of the result and of each operand; an operand's extent of 1
  /// stretches.
  Walk(const std::vector<std::int64_t>& result, const std::vector<std::vector<std::int64_t>>& operands);

  /// Does the operand move along the innermost axis?
  bool steps(std::size_t operand) const { return inner_.strides[operand] != 0; }
  std::int64_t elements() const { return elements_; }

  /// work(tile, element of the result, elements of the operands) for tiles that cover the result; row steps
  /// of the tile's a and b are those of operands `a` and `b`.
  template <typename Work>
  void each(std::size_t a, std::size_t b, Work&& work) const {
    in_pieces(pieces_, 1, elements_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t piece = begin; piece < end; ++piece) tile(piece, a, b, work);
    });
  }

 private:
  struct Axis {
    std::int64_t extent = 1;
    Offsets strides{};
  };
  /// A tile is some rows of the last two axes, or a part of one long row.
  static constexpr std::int64_t kTileFloats = 8192;

  template <typename Work>
  void tile(std::int64_t piece, std::size_t a, std::size_t b, Work&& work) const {
    const std::int64_t part = piece % parts_;
    std::int64_t place = piece / parts_;
    const std::int64_t first = part * part_;
    Offsets at{};
    const Axis& along = long_rows_ ? inner_ : rows_;
    for (std::size_t k = 0; k < kOperands; ++k) at[k] = first * along.strides[k];
    std::int64_t to =
        place * along.extent * (long_rows_ ? 1 : inner_.extent) + first * (long_rows_ ? 1 : inner_.extent);
    for (std::size_t i = outer_.size(); i-- > 0;) {
      const std::int64_t coordinate = place % outer_[i].extent;
      place /= outer_[i].extent;
      for (std::size_t k = 0; k < kOperands; ++k) at[k] += coordinate * outer_[i].strides[k];
    }
    const std::int64_t count = std::min(part_, along.extent - first);
    Tile tile{.rows = long_rows_ ? 1 : count, .columns = long_rows_ ? count : inner_.extent};
    tile.a_row = rows_.strides[a];
    tile.b_row = rows_.strides[b];
    tile.y_row = inner_.extent;
    work(tile, to, at);
  }

  std::vector<Axis> outer_;  // outermost first
  Axis rows_, inner_;
  bool long_rows_ = false;
  std::int64_t part_ = 1, parts_ = 1, pieces_ = 0, elements_ = 0;
};

}  // namespace trainyard::ops::cpu
