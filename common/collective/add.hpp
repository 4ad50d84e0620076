// The sum of a collective operation: own values plus those that arrived, in place of the buffer that they
// arrived in. Pure; any thread.
#pragma once

#include <cstddef>

namespace trainyard::collective {

/// out[i] = received[i] + own[i] for i < count. `received` needs no alignment; `out` may be `own`, else
/// nothing overlaps.
void add(const float* own, const std::byte* received, float* out, std::size_t count);

}  // namespace trainyard::collective
