#include "daemons/master/scheduler.hpp"

#include <catch2/catch.hpp>

#include "common/base/random.hpp"
#include "tests/unit/master/cluster.hpp"

namespace trainyard::master::test {

namespace {

Offer offer(const std::string& name, std::uint64_t cpus, std::uint32_t gpus = 0,
            std::map<std::string, std::string> labels = {}) {
  Offer out{name, {cpus * 1000, 16 * gib, gpus}, {}, std::move(labels)};
  for (std::uint32_t gpu = 0; gpu < gpus; ++gpu) out.gpus.insert(gpu);
  return out;
}

using Plan = std::vector<Placed>;

Plan plan_of(const JobOrder& wanted, const std::vector<Offer>& offers) {
  auto plan = place(JobId{1}, wanted, offers);
  REQUIRE(std::holds_alternative<Plan>(plan));
  return std::get<Plan>(std::move(plan));
}

}  // namespace

TEST_CASE("a gang is placed whole or not at all", "[master]") {
  const auto fits = place(JobId{1}, order(4, 2), {offer("a", 3), offer("b", 2)});
  REQUIRE(std::holds_alternative<Plan>(fits));
  CHECK(std::get<Plan>(fits).size() == 6);
  CHECK(std::holds_alternative<NoRoom>(place(JobId{1}, order(4, 3), {offer("a", 3), offer("b", 2)})));
}

TEST_CASE("tasks are packed on the fullest node that holds them, or spread when asked", "[master]") {
  JobOrder wanted = order(2, 0);
  const std::vector<Offer> offers{offer("big", 8), offer("small", 2)};
  for (const Placed& placed : plan_of(wanted, offers)) CHECK(placed.node == "small");
  wanted.spread = true;
  std::set<std::string> nodes;
  for (const Placed& placed : plan_of(wanted, offers)) nodes.insert(placed.node);
  CHECK(nodes.size() == 2);
}

TEST_CASE("GPUs are granted by index, each once", "[master]") {
  JobOrder wanted = order(3, 0);
  wanted.roles[0].each.gpus = 2;
  std::set<std::uint32_t> seen;
  for (const Placed& placed : plan_of(wanted, {offer("a", 8, 6)})) {
    CHECK(placed.gpus.size() == 2);
    seen.insert(placed.gpus.begin(), placed.gpus.end());
  }
  CHECK(seen.size() == 6);
}

TEST_CASE("labels are required", "[master]") {
  JobOrder wanted = order(1, 0);
  wanted.require = {{"zone", "a"}};
  CHECK(std::get<NoRoom>(place(JobId{1}, wanted, {offer("x", 8)})).reason == "no node with zone=a is there");
  CHECK(std::holds_alternative<Plan>(place(JobId{1}, wanted, {offer("x", 8, 0, {{"zone", "a"}})})));
}

TEST_CASE("no plan takes more than is offered", "[master]") {
  Random random(9);
  for (int round = 0; round < 500; ++round) {
    std::vector<Offer> offers;
    for (std::uint64_t n = 1 + random.below(5); n-- > 0;) {
      offers.push_back(
          offer(format("n{}", n), 1 + random.below(8), static_cast<std::uint32_t>(random.below(4))));
    }
    JobOrder wanted =
        order(static_cast<std::uint32_t>(1 + random.below(6)), static_cast<std::uint32_t>(random.below(4)));
    wanted.roles[0].each.gpus = static_cast<std::uint32_t>(random.below(2));
    wanted.spread = random.chance(0.5);
    const auto plan = place(JobId{1}, wanted, offers);
    if (std::holds_alternative<NoRoom>(plan)) {
      CHECK_FALSE(impossible(wanted, offers).empty());  // the offers were empty nodes
      continue;
    }
    for (const Offer& node : offers) {
      protocol::ResourceSet used;
      std::set<std::uint32_t> gpus;
      for (const Placed& placed : std::get<Plan>(plan)) {
        if (placed.node != node.node) continue;
        const auto& each = placed.task.role == Role::trainer ? wanted.roles[0].each : wanted.roles[1].each;
        used.cpu_millis += each.cpu_millis;
        used.gpus += each.gpus;
        for (const std::uint32_t gpu : placed.gpus) CHECK(gpus.insert(gpu).second);
      }
      CHECK(used.cpu_millis <= node.free.cpu_millis);
      CHECK(used.gpus <= node.free.gpus);
    }
  }
}

}  // namespace trainyard::master::test
