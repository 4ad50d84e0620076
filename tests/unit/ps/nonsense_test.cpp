// Whatever trainers send in whatever order: a shard answers, refuses or waits, and what it counts as applied
// is in its values.
#include <catch2/catch.hpp>
#include <cmath>

#include "common/base/random.hpp"
#include "daemons/ps/core.hpp"

namespace trainyard::ps {

namespace {

using protocol::DataHeader;
using protocol::DataKind;

constexpr std::uint32_t trainers = 3;
constexpr std::size_t floats = 6;

Arrival anything(Random& random, std::uint64_t near) {
  DataHeader head;
  head.kind = static_cast<DataKind>(random.below(13));
  head.job = random.chance(0.97) ? 1 : random.below(3);
  head.incarnation = random.chance(0.97) ? 1 : static_cast<std::uint32_t>(random.below(4));
  head.trainer = static_cast<std::uint32_t>(random.below(random.chance(0.95) ? trainers : 9));
  head.sequence = random.chance(0.9) ? near + random.below(3) - random.below(2) : random.below(1ull << 40);
  head.samples = static_cast<std::uint32_t>(random.below(3));
  if (random.chance(0.1)) head.checkpoint = 1 + random.below(50);
  if (random.chance(0.1)) head.cut = 1 + random.below(50);
  if (random.chance(0.002)) head.ending = static_cast<protocol::Ending>(random.below(3));
  head.averages = random.chance(0.1);
  head.norm = random.chance(0.1) ? std::nan("") : random.uniform();
  head.steps_per_epoch = random.below(3);
  if (random.chance(0.5))
    head.slices = {{0, 4, protocol::SliceKind::weight}, {4, 2, protocol::SliceKind::buffer}};
  head.coding =
      random.chance(0.9) ? config::Compression::none : static_cast<config::Compression>(random.below(5));
  const std::size_t size = random.chance(0.9) ? floats : random.below(9);
  const auto values = std::make_shared<std::vector<float>>(size, 1.0F);
  return {"peer", head, {std::as_bytes(std::span(*values)), values}};
}

}  // namespace

TEST_CASE("a shard takes any messages in any order, under every rule", "[ps]") {
  using config::UpdateRule;
  for (const auto rule : {UpdateRule::sync, UpdateRule::async, UpdateRule::ssp, UpdateRule::dc_asgd,
                          UpdateRule::dynsgd, UpdateRule::local_sgd, UpdateRule::easgd}) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      INFO("rule " << static_cast<int>(rule) << ", seed " << seed);
      Random random(seed);
      config::StrategySection strategy{.update = rule};
      strategy.staleness = 2;
      if (rule == UpdateRule::sync) strategy.backup_trainers = static_cast<std::uint32_t>(random.below(3));
      config::TrainSection train;
      train.optimizer = {.learning_rate = 0.001, .momentum = 0.5};
      if (random.chance(0.3)) train.clip.norm = 1.0;
      if (random.chance(0.3)) train.ema = {.decay = 0.5};
      const std::uint32_t shards = 1 + static_cast<std::uint32_t>(random.below(2));
      Core core({.job = 1, .incarnation = 1, .shard = 0, .trainers = trainers, .shards = shards}, train,
                strategy);
      for (int i = 0; i < 2000; ++i) {
        const std::uint64_t before = core.step();
        const Outcome outcome = core.on(anything(random, core.step() / (config::in_step(rule) ? 1 : 3)));
        REQUIRE(core.step() >= before);
        for (const Reply& reply : outcome.replies) {
          if (reply.header.kind == DataKind::values) REQUIRE(reply.values != nullptr);
          if (reply.header.kind == DataKind::refused) REQUIRE_FALSE(reply.header.reason.empty());
        }
        for (const SavedPart& saved : outcome.saves) REQUIRE(saved.table.step <= core.step());
      }
      if (!config::in_step(rule)) CHECK(core.counts().pushes == core.step());
    }
  }
}

}  // namespace trainyard::ps
