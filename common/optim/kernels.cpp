#include "common/optim/kernels.hpp"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace trainyard::optim::kernels {

extern const Kernels set_base;

#if defined(__x86_64__)

extern const Kernels set_avx2;
extern const Kernels set_avx512;

const Kernels* at(std::size_t index) {
  switch (index) {
    case 0:
      return &set_base;
    case 1:
      return __builtin_cpu_supports("avx2") != 0 ? &set_avx2 : nullptr;
    case 2:
      return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
                     __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512bw") != 0
                 ? &set_avx512
                 : nullptr;
    default:
      return nullptr;
  }
}

DenormalsAsZero::DenormalsAsZero() : before_(_mm_getcsr()) {
  constexpr unsigned int flush_and_zero = 0x8040;
  _mm_setcsr(static_cast<unsigned int>(before_) | flush_and_zero);
}
DenormalsAsZero::~DenormalsAsZero() { _mm_setcsr(static_cast<unsigned int>(before_)); }

#else

const Kernels* at(std::size_t index) { return index == 0 ? &set_base : nullptr; }

DenormalsAsZero::DenormalsAsZero() : before_(0) {}
DenormalsAsZero::~DenormalsAsZero() = default;

#endif

const Kernels& best() {
  static const Kernels& chosen = []() -> const Kernels& {
    for (std::size_t index = sets; index-- > 1;) {
      if (const Kernels* set = at(index)) return *set;
    }
    return set_base;
  }();
  return chosen;
}

}  // namespace trainyard::optim::kernels
