// The loops of all kernels in the namespace TRAINYARD_LANES, whose compiler flags its file has. Includes come
// first and bring plain types alone: a function that two files compile for different processors would be
// linked once, and might be the wrong one.
#include <cstdint>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "common/ops/cpu/lanes/table.hpp"

namespace trainyard::ops::cpu::lanes::TRAINYARD_LANES {
namespace {

// clang-format off
#include "common/ops/cpu/lanes/lanes.hpp"
#include "common/ops/cpu/lanes/batch_norm.hpp"
// clang-format on

}  // namespace

extern const Table loops;
const Table loops{moments, normalize, gradient_sums, normalize_grad};

}  // namespace trainyard::ops::cpu::lanes::TRAINYARD_LANES
