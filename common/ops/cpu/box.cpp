#include "common/ops/cpu/box.hpp"

#include <cstring>
#include <tuple>

#include "common/ops/cpu/parallel.hpp"

namespace trainyard::ops::cpu {
namespace {

constexpr std::int64_t kPart = 1 << 14;  // elements of a long row that go together
constexpr std::int64_t kTile = 16;  // a side of what is turned around at once; 16 floats are a cache line

template <typename T>
void filled(void* to, std::int64_t count, std::uint64_t bits) {
  in_pieces(count, 64, count, [&](std::int64_t begin, std::int64_t end) {
    std::fill(static_cast<T*>(to) + begin, static_cast<T*>(to) + end, static_cast<T>(bits));
  });
}

}  // namespace

Box::Box(std::size_t size, const std::vector<std::int64_t>& extents, const std::vector<std::int64_t>& from,
         std::int64_t from_base, const std::vector<std::int64_t>& to, std::int64_t to_base)
    : size_(size), from_base_(from_base), to_base_(to_base) {
  std::vector<Axis> axes;
  rows_ = 1;
  for (std::size_t i = extents.size(); i-- > 0;) {
    const Axis axis{extents[i], from[i], to[i]};
    rows_ *= axis.extent;
    if (axis.extent == 1) continue;
    if (!axes.empty() && axis.from == axes.back().from * axes.back().extent &&
        axis.to == axes.back().to * axes.back().extent)
      axes.back().extent *= axis.extent;
    else
      axes.push_back(axis);
  }
  if (rows_ == 0) return;
  if (!axes.empty()) {
    inner_ = axes.front();
    outer_.assign(axes.begin() + 1, axes.end());
  }
  rows_ /= inner_.extent;
  part_ = std::min(inner_.extent, kPart);
  parts_ = (inner_.extent + part_ - 1) / part_;
  const auto contiguous =
      std::find_if(outer_.begin(), outer_.end(), [](const Axis& axis) { return axis.from == 1; });
  crosses_ = inner_.from > 1 && inner_.to == 1 && contiguous != outer_.end();
  if (!crosses_) return;
  cross_ = *contiguous;
  outer_.erase(contiguous);
  rows_ /= cross_.extent;
}

template <typename T>
void Box::copy_as(const T* from, T* to) const {
  const Axis next = outer_.empty() ? Axis{} : outer_.front();
  in_pieces(rows_ * parts_, 1, rows_ * inner_.extent, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t row = begin / parts_, part = begin % parts_, left = next.extent - row % next.extent;
    auto [from_row, to_row] = place(row);
    for (std::int64_t piece = begin; piece < end; ++piece) {
      const std::int64_t first = part * part_, count = std::min(part_, inner_.extent - first);
      const T* const x = from + from_row + first * inner_.from;
      T* const y = to + to_row + first * inner_.to;
      if (inner_.from == 1 && inner_.to == 1)
        std::memcpy(y, x, static_cast<std::size_t>(count) * sizeof(T));
      else if (inner_.from == 0 && inner_.to == 1)
        std::fill(y, y + count, *x);
      else
        for (std::int64_t i = 0; i < count; ++i) y[i * inner_.to] = x[i * inner_.from];
      if (++part < parts_) continue;
      part = 0;
      // Divisions only where a row of the next axis ends.
      ++row;
      if (--left > 0) {
        from_row += next.from;
        to_row += next.to;
      } else if (row < rows_) {
        left = next.extent;
        std::tie(from_row, to_row) = place(row);
      }
    }
  });
}

/// A whole tile has constant bounds, so that it goes through registers.
template <typename T>
void whole_tile(const T* x, std::int64_t x_step, T* y, std::int64_t y_step) {
  for (std::int64_t c = 0; c < kTile; ++c)
    for (std::int64_t r = 0; r < kTile; ++r) y[c * y_step + r] = x[r * x_step + c];
}

/// Tiles are read along one axis and written along the other, whole cache lines either way.
template <typename T>
void Box::crossed(const T* from, T* to) const {
  const std::int64_t strips = (inner_.extent + kTile - 1) / kTile;
  const std::int64_t elements = rows_ * inner_.extent * cross_.extent;
  in_pieces(rows_ * strips, 1, elements, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t strip = begin; strip < end; ++strip) {
      const std::int64_t row = strip % strips * kTile, rows = std::min(kTile, inner_.extent - row);
      const auto [from_row, to_row] = place(strip / strips);
      const T* const x = from + from_row + row * inner_.from;
      T* const y = to + to_row + row;
      for (std::int64_t column = 0; column < cross_.extent; column += kTile) {
        const std::int64_t columns = std::min(kTile, cross_.extent - column);
        if (rows == kTile && columns == kTile) {
          whole_tile(x + column, inner_.from, y + column * cross_.to, cross_.to);
          continue;
        }
        for (std::int64_t c = column; c < column + columns; ++c)
          for (std::int64_t r = 0; r < rows; ++r) y[c * cross_.to + r] = x[r * inner_.from + c];
      }
    }
  });
}

std::pair<std::int64_t, std::int64_t> Box::place(std::int64_t row) const {
  std::int64_t x = from_base_, y = to_base_;
  for (const Axis& axis : outer_) {
    const std::int64_t at = row % axis.extent;
    row /= axis.extent;
    x += at * axis.from;
    y += at * axis.to;
  }
  return {x, y};
}

void Box::copy(const void* from, void* to) const {
  const auto as = [&]<typename T>(T) {
    const auto* const x = static_cast<const T*>(from);
    auto* const y = static_cast<T*>(to);
    return crosses_ ? crossed(x, y) : copy_as(x, y);
  };
  switch (size_) {
    case 1:
      return as(std::uint8_t{});
    case 2:
      return as(std::uint16_t{});
    case 4:
      return as(std::uint32_t{});
    default:
      return as(std::uint64_t{});
  }
}

void fill(void* to, std::int64_t count, std::size_t size, std::uint64_t bits) {
  switch (size) {
    case 1:
      return filled<std::uint8_t>(to, count, bits);
    case 2:
      return filled<std::uint16_t>(to, count, bits);
    case 4:
      return filled<std::uint32_t>(to, count, bits);
    default:
      return filled<std::uint64_t>(to, count, bits);
  }
}

}  // namespace trainyard::ops::cpu
