// Linear maps of numbers in 16 bits: operands 0 and 1 of conv2d, dense, matmul and of their gradients may be
// bf16 or f16 while sums and results are f32. A backend without a kernel for that widens them first; the
// kernel that does so belongs to whom any kernel does.
#pragma once

#include <functional>
#include <memory>

#include "common/base/result.hpp"
#include "common/ops/backend.hpp"

namespace trainyard::ops {

/// Is it a linear map with such operands, and results in f32?
bool is_narrow(const Operation& operation);

using Prepare = std::function<Result<std::unique_ptr<Kernel>>(const Operation&)>;

/// The operation over its operands as f32, brought there by casts; `prepare` makes the kernels, of any
/// backend. Costs scratch memory for the wide operands.
Result<std::unique_ptr<Kernel>> over_widened(const Operation& operation, const Prepare& prepare);

}  // namespace trainyard::ops
