// Between a trainer's flat arrays, which hold all tensors, and an owner's, which hold the slices that it owns
// one after the other. `Slices`: a range of things with offset and length, in floats.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace trainyard::trainer {

/// Appends to `out`.
template <typename Slices>
void gather(const Slices& slices, std::span<const float> flat, std::vector<float>& out) {
  for (const auto& slice : slices) {
    const auto part = flat.subspan(slice.offset, slice.length);
    out.insert(out.end(), part.begin(), part.end());
  }
}

/// Into exactly the room that the slices fill.
template <typename Slices>
void gather_into(const Slices& slices, std::span<const float> flat, std::span<float> out) {
  for (const auto& slice : slices) {
    std::copy_n(flat.data() + slice.offset, slice.length, out.data());
    out = out.subspan(slice.length);
  }
}

/// What no slice covers stays as it is.
template <typename Slices>
void scatter(const Slices& slices, std::span<const float> from, std::span<float> flat) {
  std::size_t at = 0;
  for (const auto& slice : slices) {
    std::copy_n(from.data() + at, slice.length, flat.data() + slice.offset);
    at += slice.length;
  }
}

}  // namespace trainyard::trainer
