#include <catch2/catch.hpp>
#include <cstdlib>

#include "common/base/text.hpp"
#include "tests/sim/world.hpp"

namespace trainyard::sim {

namespace {

std::uint64_t setting(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : parse_uint(text).value_or(otherwise);
}

}  // namespace

// One seed alone: SIM_FIRST=<seed> SIM_SEEDS=1 sim_test
TEST_CASE("no fault breaks an invariant, and every job ends once all is calm", "[sim]") {
  const std::uint64_t first = setting("SIM_FIRST", 1), count = setting("SIM_SEEDS", 200);
  std::size_t crashes = 0, restarts = 0;
  std::map<std::string, std::size_t> outcomes;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    World world(seed, {});
    world.run(60s, 15min);
    for (const std::string& violation : world.violations) FAIL_CHECK("seed " << seed << ": " << violation);
    crashes += world.crashes;
    restarts += world.restarts;
    for (const auto& [state, jobs] : world.outcomes) outcomes[state] += jobs;
  }
  if (count < 100) return;
  // The faults really happened, and the work was done nevertheless.
  CHECK(crashes > 5 * count);
  CHECK(restarts > 2 * count);
  CHECK(outcomes["SUCCEEDED"] > 2 * count);
  CHECK(outcomes["CANCELLED"] > count / 4);
}

TEST_CASE("a world without faults restarts nothing", "[sim]") {
  World world(7, {.crashes = false, .breaks = false, .partitions = false, .duplicates = 0});
  world.run(30s, 10min);
  for (const std::string& violation : world.violations) FAIL_CHECK(violation);
  CHECK(world.restarts == 0);
  CHECK(world.crashes == 0);
}

TEST_CASE("broken connections and repeated messages alone restart nothing", "[sim]") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    World world(seed, {.crashes = false, .breaks = true, .partitions = false, .duplicates = 0.2});
    world.run(60s, 10min);
    for (const std::string& violation : world.violations) FAIL_CHECK("seed " << seed << ": " << violation);
    CHECK(world.restarts == 0);
  }
}

TEST_CASE("the same seed gives the same trace", "[sim]") {
  for (const std::uint64_t seed : {3u, 4u}) {
    World a(seed, {}), b(seed, {});
    a.run(60s, 15min);
    b.run(60s, 15min);
    CHECK(a.events > 1000);
    CHECK(a.events == b.events);
    CHECK(a.trace == b.trace);
  }
  World a(3, {}), b(4, {});
  a.run(60s, 15min);
  b.run(60s, 15min);
  CHECK(a.trace != b.trace);
}

}  // namespace trainyard::sim
