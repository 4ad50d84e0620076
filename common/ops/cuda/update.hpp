// A step of an update rule by kernels. Private to this backend.
#pragma once

#include "common/ops/cuda/queue.hpp"
#include "common/ops/update.hpp"

namespace trainyard::ops::cuda {

void enqueue_update(Queue& queue, const tensor::UpdatePlan& plan, const UpdateMemory& at);

}  // namespace trainyard::ops::cuda
