#define TRAINYARD_LANES avx512
#include "common/ops/cpu/lanes/bodies.hpp"
