// How own loops share the thread team: contiguous pieces, one a thread; small work stays on one thread. The
// pieces never decide about the numbers. Private to this backend.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace trainyard::ops::cpu {

/// Below, waking a team costs more than it saves.
inline constexpr std::int64_t kParallelFloats = 1 << 15;

/// work(begin, end) over 0..count, in pieces that begin at multiples of `grain`; `floats` is the size of the
/// work.
template <typename Work>
void in_pieces(std::int64_t count, std::int64_t grain, std::int64_t floats, Work&& work) {
  if (floats <= kParallelFloats || count <= grain) {
    if (count > 0) work(std::int64_t{0}, count);
    return;
  }
#pragma omp parallel
  {
    const std::int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
    const std::int64_t grains = (count + grain - 1) / grain;
    const std::int64_t begin = grains * thread / threads * grain;
    const std::int64_t end = std::min(count, grains * (thread + 1) / threads * grain);
    if (begin < end) work(begin, end);
  }
}

}  // namespace trainyard::ops::cpu
