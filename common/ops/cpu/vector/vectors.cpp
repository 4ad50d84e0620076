#include "common/ops/cpu/vector/vectors.hpp"

namespace trainyard::ops::cpu {

namespace base {
extern const Vectors kVectors;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Vectors kVectors;
}
namespace avx512 {
extern const Vectors kVectors;
}
#endif

const std::vector<const Vectors*>& vectors_all() {
  static const std::vector<const Vectors*> all = [] {
    std::vector<const Vectors*> found{&base::kVectors};
#if defined(__x86_64__)
    const bool fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (fma) found.push_back(&avx2::kVectors);
    if (fma && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
      found.push_back(&avx512::kVectors);
#endif
    return found;
  }();
  return all;
}

const Vectors& vectors() {
  static const Vectors& best = *vectors_all().back();
  return best;
}

}  // namespace trainyard::ops::cpu
