#define TRAINYARD_LANES any
#include "common/ops/cpu/lanes/bodies.hpp"
