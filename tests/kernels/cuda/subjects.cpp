// What kernels_cuda_test holds against the reference: the GPU. Where there is none the program ends before
// its first test with the code that CTest takes for skipped.
#include <cstdio>
#include <cstdlib>

#include "tests/kernels/cuda_host/backend.hpp"
#include "tests/kernels/lab.hpp"

namespace trainyard::ops {
namespace {

std::shared_ptr<Backend> open_or_skip() {
  auto backend = cuda_backend(0);
  if (backend) return std::move(*backend);
  std::printf("skipped: %s\n", backend.error().message.c_str());
  std::exit(77);
}

const std::shared_ptr<Backend> gpu = open_or_skip();

}  // namespace

std::shared_ptr<Backend> subject_backend() { return gpu; }

void each_subject(std::uint32_t, const std::function<void(Lab)>& use) { use(Lab::of(gpu)); }

}  // namespace trainyard::ops
