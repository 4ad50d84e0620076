// The cpu backend for trainings that give the same bits with any number of threads. Kernels whose sums follow
// the team have others here, whose parts and order follow the shapes alone.
#pragma once

#include "common/ops/backend.hpp"

namespace trainyard::ops {

std::unique_ptr<Backend> deterministic_cpu_backend();

}  // namespace trainyard::ops
