// The gradient of a tensor of which only some rows have one: what a look-up leaves. A view; whoever made the
// gradient owns the numbers.
#pragma once

#include <cstdint>
#include <span>

namespace trainyard::tensor {

struct RowGradient {
  std::uint64_t offset = 0;           // of the tensor in the flat array of values, in floats
  std::uint64_t width = 0;            // floats of a row
  std::span<const std::int32_t> ids;  // ascending, none twice
  std::span<const float> rows;        // [ids, width]
};

}  // namespace trainyard::tensor
