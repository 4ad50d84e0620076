#include <cstdio>
#include <cstring>

#include "common/ops/cuda/open.hpp"

/// See open.hpp.
extern "C" __attribute__((visibility("default"))) trainyard::ops::Backend* trainyard_cuda_open(
    const char* version, int index, char* why, std::size_t why_bytes) {
  if (std::strcmp(version, TRAINYARD_VERSION) != 0) {
    std::snprintf(why, why_bytes, "libtrainyard_cuda.so is of version %s, the program of %s",
                  TRAINYARD_VERSION, version);
    return nullptr;
  }
  auto backend = trainyard::ops::cuda::open(index);
  if (backend) return backend->release();
  std::snprintf(why, why_bytes, "%s", backend.error().message.c_str());
  return nullptr;
}
