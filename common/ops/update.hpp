// Where a device keeps what an update rule works on, and what it says of it. See tensor/update.hpp for the
// numbers; Backend::update runs it.
#pragma once

#include <array>
#include <cstdint>

#include "common/ops/backend.hpp"
#include "common/tensor/update.hpp"

namespace trainyard::ops {

/// So many values in a row, from a multiple of it on, belong to one group.
inline constexpr std::int64_t kUpdateStretch = 64;

/// Of the gradient before it is scaled; frozen values have no part in it.
struct UpdateNorm {
  double square_sum = 0;
  double buffers = 0;  // the same of buffers, which no norm is of
  double factor = 1;   // what clipping to a norm multiplies the scale with
};

/// All in the device's memory; arrays have `length` floats, a multiple of kUpdateStretch.
struct UpdateMemory {
  std::int64_t length = 0;
  const std::uint8_t* groups = nullptr;  // [length / kUpdateStretch]
  const float* gradients = nullptr;
  float* values = nullptr;
  std::array<float*, tensor::kUpdateArrays + 1> arrays{};  // null: not kept; the last is the average
  const tensor::UpdateStep* step = nullptr;
  const Outcome* outcome = nullptr;  // of the loss; where it is not finite, or the norm, nothing changes
  UpdateNorm* norm = nullptr;        // written
  void* scratch = nullptr;           // update_scratch_bytes
};

/// Values whose squares are summed together.
inline constexpr std::int64_t kUpdateNormValues = std::int64_t{1} << 14;
constexpr std::int64_t update_norm_parts(std::int64_t length) {
  return (length + kUpdateNormValues - 1) / kUpdateNormValues;
}
/// Bytes of UpdateMemory::scratch: two sums a part.
constexpr std::size_t update_scratch_bytes(std::int64_t length) {
  return static_cast<std::size_t>(update_norm_parts(length)) * 2 * sizeof(double);
}

}  // namespace trainyard::ops
