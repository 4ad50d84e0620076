// The way into the shared object. Private to this backend.
#pragma once

#include <cstddef>
#include <memory>

#include "common/ops/backend.hpp"

namespace trainyard::ops::cuda {

/// ops::cuda_backend() once the library is loaded.
Result<std::unique_ptr<Backend>> open(int index);

/// The name and type of the one function that the shared object shows. Gives a backend that the caller owns,
/// or null and the reason in `why`, ended by a 0. `version` has to be the library's own.
inline constexpr const char* kOpenName = "trainyard_cuda_open";
using OpenFunction = Backend* (*)(const char* version, int index, char* why, std::size_t why_bytes);

}  // namespace trainyard::ops::cuda
