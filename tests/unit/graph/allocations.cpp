#include "tests/unit/graph/allocations.hpp"

#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<std::size_t> counted{0}, largest{0};
std::atomic<bool> inside{false};  // of oneDNN
}  // namespace

std::size_t trainyard::graph::test::allocations() { return counted; }

std::size_t trainyard::graph::test::largest_allocation(bool reset) {
  if (reset) largest = 0;
  return largest;
}

/// Stands before the library's: what is allocated inside it, on any thread, is its own affair.
extern "C" dnnl_status_t dnnl_primitive_execute(const_dnnl_primitive_t primitive, dnnl_stream_t stream,
                                                int count, const dnnl_exec_arg_t* arguments) {
  static const auto theirs =
      reinterpret_cast<decltype(&dnnl_primitive_execute)>(dlsym(RTLD_NEXT, "dnnl_primitive_execute"));
  inside = true;
  const dnnl_status_t status = theirs(primitive, stream, count, arguments);
  inside = false;
  return status;
}

#if !defined(SANITIZED)  // a sanitizer brings its own and wants to see every pair
namespace {
void* allocate(std::size_t size, std::size_t alignment) {
  if (!inside) ++counted;
  if (size > largest) largest = size;
  const std::size_t whole = (size + alignment) / alignment * alignment;
  void* const at = std::aligned_alloc(alignment, whole);
  if (at == nullptr) throw std::bad_alloc();
  return at;
}
}  // namespace
void* operator new(std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* at) noexcept { std::free(at); }
void operator delete(void* at, std::size_t) noexcept { std::free(at); }
void operator delete(void* at, std::align_val_t) noexcept { std::free(at); }
void operator delete(void* at, std::size_t, std::align_val_t) noexcept { std::free(at); }
#endif
