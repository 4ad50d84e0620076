// The places of the largest magnitudes. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace trainyard::codec {

/// The places of the `count` values with the largest magnitudes, ascending; of equal ones the first. All
/// places when there are not more values. Three passes over the values: a radix select over the bits of the
/// magnitudes, which order as the magnitudes do.
std::vector<std::uint32_t> largest(std::span<const float> values, std::size_t count);

}  // namespace trainyard::codec
