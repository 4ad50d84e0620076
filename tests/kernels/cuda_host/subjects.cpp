// What kernels_cuda_host_test holds against the reference: the GPU's kernels, run on the host.
#include "tests/kernels/cuda_host/backend.hpp"
#include "tests/kernels/lab.hpp"

namespace trainyard::ops {

std::shared_ptr<Backend> subject_backend() {
  static const std::shared_ptr<Backend> backend = cuda_on_host_backend();
  return backend;
}

void each_subject(std::uint32_t, const std::function<void(Lab)>& use) { use(Lab::of(subject_backend())); }

}  // namespace trainyard::ops
