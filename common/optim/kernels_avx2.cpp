#include "common/optim/kernels_body.hpp"

namespace trainyard::optim::kernels {
extern const Kernels set_avx2;
constinit const Kernels set_avx2 = named("avx2");
}  // namespace trainyard::optim::kernels
