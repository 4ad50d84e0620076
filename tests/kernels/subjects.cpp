// What kernels_test holds against the reference in double: the same loops in float, and the cpu backend for
// every arrangement of the activations.
#include <catch2/catch.hpp>

#include "tests/kernels/lab.hpp"

namespace trainyard::ops {

void each_subject(std::uint32_t activations, const std::function<void(Lab)>& use) {
  use(Lab::reference_float());
  const std::uint32_t all = (1u << activations) - 1;
  for (std::uint32_t blocked = 0; blocked <= all; ++blocked) {
    INFO("cpu backend, images in blocks: mask " << blocked);
    use(Lab::cpu(blocked));
  }
  if (all == 0) return;
  for (const Images order : {Images::channels_last, Images::blocks_of_eight}) {
    INFO("cpu backend, images in order " << static_cast<int>(order));
    use(Lab::cpu(all, order));
    if (all > 1) use(Lab::cpu(1, order));
  }
}

}  // namespace trainyard::ops
