#include "common/ops/cpu/box.hpp"

#include <cstring>

#include "common/ops/cpu/parallel.hpp"

namespace trainyard::ops::cpu {
namespace {

constexpr std::int64_t kPart = 1 << 14;  // elements of a long row that go together

template <typename T>
void strided(const void* from, std::int64_t from_step, void* to, std::int64_t to_step, std::int64_t count) {
  const auto* const x = static_cast<const T*>(from);
  auto* const y = static_cast<T*>(to);
  for (std::int64_t i = 0; i < count; ++i) y[i * to_step] = x[i * from_step];
}

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
}

void Box::copy(const void* from, void* to) const {
  in_pieces(rows_ * parts_, 1, rows_ * inner_.extent, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t piece = begin; piece < end; ++piece) {
      const std::int64_t first = piece % parts_ * part_, count = std::min(part_, inner_.extent - first);
      std::int64_t row = piece / parts_, x = from_base_ + first * inner_.from,
                   y = to_base_ + first * inner_.to;
      for (const Axis& axis : outer_) {
        const std::int64_t at = row % axis.extent;
        row /= axis.extent;
        x += at * axis.from;
        y += at * axis.to;
      }
      const auto* const source = static_cast<const std::byte*>(from) + x * static_cast<std::int64_t>(size_);
      auto* const target = static_cast<std::byte*>(to) + y * static_cast<std::int64_t>(size_);
      if (inner_.from == 1 && inner_.to == 1)
        std::memcpy(target, source, static_cast<std::size_t>(count) * size_);
      else if (size_ == 1)
        strided<std::uint8_t>(source, inner_.from, target, inner_.to, count);
      else if (size_ == 2)
        strided<std::uint16_t>(source, inner_.from, target, inner_.to, count);
      else if (size_ == 4)
        strided<std::uint32_t>(source, inner_.from, target, inner_.to, count);
      else
        strided<std::uint64_t>(source, inner_.from, target, inner_.to, count);
    }
  });
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
