// The loops of this directory, for the level of its name; CMake gives the instructions.
#define TRAINYARD_VECTOR_LEVEL avx512
#include "common/ops/cpu/vector/loops.hpp"
