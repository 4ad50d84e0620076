// The backend over a device and its queue. Private to this backend.
#pragma once

#include <memory>

#include "common/ops/backend.hpp"
#include "common/ops/cuda/queue.hpp"
#include "common/ops/device.hpp"

namespace trainyard::ops::cuda {

/// `queue` belongs to the device.
std::unique_ptr<Backend> backend_on(std::unique_ptr<Device> device, Queue& queue);

}  // namespace trainyard::ops::cuda
