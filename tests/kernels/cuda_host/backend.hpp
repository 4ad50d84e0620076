// The kernels of common/ops/cuda run on the host, thread by thread: their formulas, their indices and their
// bounds are tested where no GPU is. Libraries and the device's own order are not. Test code of one thread.
#pragma once

#include <memory>

#include "common/ops/backend.hpp"

namespace trainyard::ops {

std::unique_ptr<Backend> cuda_on_host_backend();

/// The backend that this program holds against the reference; the same one each time.
std::shared_ptr<Backend> subject_backend();

}  // namespace trainyard::ops
