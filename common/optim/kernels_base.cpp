#include "common/optim/kernels_body.hpp"

namespace trainyard::optim::kernels {
extern const Kernels set_base;
constinit const Kernels set_base = named("base");
}  // namespace trainyard::optim::kernels
