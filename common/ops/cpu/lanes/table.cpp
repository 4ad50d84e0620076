#include "common/ops/cpu/lanes/table.hpp"

#include <cstdlib>
#include <cstring>
#include <vector>

namespace trainyard::ops::cpu::lanes {

#if defined(__x86_64__)
namespace avx512 {
extern const Table loops;
}
namespace avx2 {
extern const Table loops;
}
#endif
namespace any {
extern const Table loops;
}

namespace {

struct Level {
  const char* name;
  const Table* loops;
};

/// Narrow ones first.
std::vector<Level> levels() {
  std::vector<Level> found{{"any", &any::loops}};
#if defined(__x86_64__)
  const bool fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (fma) found.push_back({"avx2", &avx2::loops});
  if (fma && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    found.push_back({"avx512", &avx512::loops});
#endif
  return found;
}

const Table& best() {
  const std::vector<Level> found = levels();
  const char* const limit = std::getenv("TRAINYARD_VECTORS");
  for (const Level& level : found)
    if (limit != nullptr && std::strcmp(level.name, limit) == 0) return *level.loops;
  return *found.back().loops;
}

}  // namespace

const Table& table() {
  static const Table& chosen = best();
  return chosen;
}

}  // namespace trainyard::ops::cpu::lanes
