#include "common/graph/loss_scale.hpp"

#include <algorithm>

namespace trainyard::graph {

bool LossScale::overflows(bool finite) {
  if (finite) {
    if (++clean_ < kCleanSteps) return false;
    value_ = std::min(kMost, value_ * 2);
    clean_ = 0;
    return false;
  }
  clean_ = 0;
  if (value_ <= 1) return false;
  value_ /= 2;
  return true;
}

}  // namespace trainyard::graph
