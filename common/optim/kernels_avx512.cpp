#include "common/optim/kernels_body.hpp"

namespace trainyard::optim::kernels {
extern const Kernels set_avx512;
constinit const Kernels set_avx512 = named("avx512");
}  // namespace trainyard::optim::kernels
