// Counts what this test program allocates through operator new.
#pragma once

#include <cstddef>

namespace trainyard::graph::test {
std::size_t allocations();
/// In bytes, since the last reset.
std::size_t largest_allocation(bool reset);
}  // namespace trainyard::graph::test
