#include "common/collective/add.hpp"

#include <cstring>

// No element is read after a later one was written. Clang finds that out at run time, and takes a pragma
// that it cannot follow, as with a sanitizer, for a fault.
#ifdef __clang__
#define TRAINYARD_APART
#else
#define TRAINYARD_APART _Pragma("GCC ivdep")
#endif

namespace trainyard::collective {

void add(const float* own, const std::byte* received, float* out, std::size_t count) {
  TRAINYARD_APART
  for (std::size_t i = 0; i < count; ++i) {
    float other = 0;
    std::memcpy(&other, received + i * sizeof(float), sizeof other);
    out[i] = other + own[i];
  }
}

}  // namespace trainyard::collective
