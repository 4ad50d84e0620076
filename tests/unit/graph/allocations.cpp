#include "tests/unit/graph/allocations.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<std::size_t> counted{0}, largest{0};
}

std::size_t trainyard::graph::test::allocations() { return counted; }

std::size_t trainyard::graph::test::largest_allocation(bool reset) {
  if (reset) largest = 0;
  return largest;
}

#if !defined(SANITIZED)  // a sanitizer brings its own and wants to see every pair
void* operator new(std::size_t size) {
  ++counted;
  if (size > largest) largest = size;
  void* const at = std::malloc(size == 0 ? 1 : size);
  if (at == nullptr) throw std::bad_alloc();
  return at;
}
void operator delete(void* at) noexcept { std::free(at); }
void operator delete(void* at, std::size_t) noexcept { std::free(at); }
#endif
