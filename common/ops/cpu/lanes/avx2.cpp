#define TRAINYARD_LANES avx2
#include "common/ops/cpu/lanes/bodies.hpp"
