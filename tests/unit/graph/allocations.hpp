// Counts what this test program allocates through operator new outside of oneDNN, whose primitives allocate
// small lists of arguments each time that they run.
#pragma once

#include <cstddef>

namespace trainyard::graph::test {
std::size_t allocations();
/// In bytes, since the last reset, oneDNN's included.
std::size_t largest_allocation(bool reset);
}  // namespace trainyard::graph::test
