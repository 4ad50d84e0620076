#include <catch2/catch.hpp>

#include "common/base/random.hpp"
#include "common/graph/plan.hpp"

namespace trainyard::graph {

TEST_CASE("values that live at the same time never overlap, and the arena stays near its bound", "[graph]") {
  Random random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<Life> lives;
    const std::size_t nodes = 1 + random.below(30);
    for (std::uint64_t i = random.below(40); i-- > 0;) {
      const std::size_t first = random.below(nodes);
      lives.push_back({random.below(10'000), first, first + random.below(nodes - first)});
    }
    const Plan plan = plan_memory(lives);
    for (std::size_t a = 0; a < lives.size(); ++a) {
      REQUIRE(plan.offsets[a] % 64 == 0);
      REQUIRE(plan.offsets[a] + lives[a].bytes <= plan.bytes);
      for (std::size_t b = a + 1; b < lives.size(); ++b) {
        if (lives[a].last < lives[b].first || lives[b].last < lives[a].first) continue;
        const bool apart = plan.offsets[a] + lives[a].bytes <= plan.offsets[b] ||
                           plan.offsets[b] + lives[b].bytes <= plan.offsets[a];
        REQUIRE(apart);
      }
    }
    REQUIRE(plan.bytes >= live_bytes_max(lives));
    REQUIRE(static_cast<double>(plan.bytes) <= 1.08 * static_cast<double>(live_bytes_max(lives)) + 64);
  }
}

}  // namespace trainyard::graph
