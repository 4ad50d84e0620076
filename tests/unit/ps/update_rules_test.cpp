// What each update rule makes of pushes, one shard alone.
#include <catch2/catch.hpp>
#include <cmath>

#include "common/base/random.hpp"
#include "daemons/ps/core.hpp"

namespace trainyard::ps {

namespace {

using config::UpdateRule;
using protocol::DataHeader;
using protocol::DataKind;

constexpr std::size_t floats = 4;

config::TrainSection plain_sgd() {
  config::TrainSection train;
  train.optimizer = {.learning_rate = 1.0, .momentum = 0.0};
  return train;
}

DataHeader header(DataKind kind, std::uint32_t trainer, std::uint64_t sequence = 0) {
  return {.kind = kind, .job = 1, .incarnation = 1, .trainer = trainer, .sequence = sequence};
}

Arrival push(std::uint32_t trainer, std::uint64_t step, float gradient) {
  DataHeader head = header(DataKind::push, trainer, step);
  head.samples = 1;
  const auto values = std::make_shared<std::vector<float>>(floats, gradient);
  return {"peer-" + std::to_string(trainer), head, {std::as_bytes(std::span(*values)), values}};
}

Core ready(std::uint32_t trainers, const config::StrategySection& strategy,
           const config::TrainSection& train = plain_sgd(), float value = 0) {
  Core core({.job = 1, .incarnation = 1, .shard = 0, .trainers = trainers, .shards = 1}, train, strategy);
  DataHeader first = header(DataKind::init, 0);
  first.slices = {{0, floats, protocol::SliceKind::weight}};
  first.steps_per_epoch = 100;
  const auto values = std::make_shared<std::vector<float>>(floats, value);
  CHECK(core.on({"peer-0", first, {std::as_bytes(std::span(*values)), values}}).replies.empty());
  for (std::uint32_t trainer = 0; trainer < trainers; ++trainer)
    CHECK(core.on({"", header(DataKind::pull, trainer), {}}).replies.size() == 1);
  return core;
}

float value_of(const Core& core) { return core.table()->values()->front(); }

}  // namespace

TEST_CASE("ssp holds the answer of a trainer that is too far ahead until the slowest has pushed", "[ps]") {
  config::StrategySection strategy{.update = UpdateRule::ssp};
  strategy.staleness = 2;
  Core core = ready(2, strategy);
  CHECK(core.on(push(0, 1, 1)).replies.size() == 1);
  CHECK(core.on(push(0, 2, 1)).replies.size() == 1);
  CHECK(core.on(push(0, 3, 1)).replies.empty());
  CHECK(core.on(push(0, 3, 1)).replies.empty());  // again
  const Outcome outcome = core.on(push(1, 1, 10));
  REQUIRE(outcome.replies.size() == 2);
  CHECK(outcome.replies[1].header.trainer == 0);
  CHECK(outcome.replies[1].header.sequence == 3);
  CHECK(value_of(core) == -13);
  CHECK(core.counts().spread == 3);
  CHECK(core.counts().repeated == 1);
  // Nobody waits for who has left.
  CHECK(core.on({"", header(DataKind::leave, 1, 1), {}}).replies.size() == 1);
  for (std::uint64_t step = 4; step < 20; ++step) CHECK(core.on(push(0, step, 1)).replies.size() == 1);
}

TEST_CASE("staleness is what others pushed between reading and pushing", "[ps]") {
  Core core = ready(3, {.update = UpdateRule::async});
  CHECK(core.on(push(1, 1, 1)).replies[0].header.staleness == 0);
  CHECK(core.on(push(1, 2, 1)).replies[0].header.staleness == 0);
  CHECK(core.on(push(0, 1, 1)).replies[0].header.staleness == 2);
  CHECK(core.on(push(2, 1, 1)).replies[0].header.staleness == 3);
  CHECK(core.counts().staleness[0] == 2);
  CHECK(core.counts().staleness[2] == 1);
  CHECK(core.counts().staleness[3] == 1);
  CHECK(core.counts().staleness_sum == 5);
}

TEST_CASE("dc_asgd corrects by what its trainer read, as the paper has it", "[ps]") {
  config::StrategySection strategy{.update = UpdateRule::dc_asgd};
  strategy.delay = {.variant = config::DelaySection::Variant::constant, .lambda = 0.5};
  Core core = ready(2, strategy, plain_sgd(), 1.0F);
  (void)core.on(push(0, 1, 0.25F));  // read 1, is 1: no correction
  CHECK(value_of(core) == 0.75F);
  (void)core.on(push(1, 1, 0.5F));  // read 1, is 0.75: 0.5 + 0.5 * 0.25 * -0.25
  CHECK(value_of(core) == Approx(0.75 - (0.5 - 0.03125)));
  (void)core.on(push(0, 2, 0.5F));  // read 0.75
  CHECK(value_of(core) == Approx(0.28125 - (0.5 + 0.5 * 0.25 * (0.28125 - 0.75))));

  strategy.delay = {.variant = config::DelaySection::Variant::adaptive, .lambda = 2.0, .decay = 0.5};
  Core adaptive = ready(2, strategy, plain_sgd(), 1.0F);
  (void)adaptive.on(push(0, 1, 0.25F));
  (void)adaptive.on(push(1, 1, 0.5F));
  const double square = 0.5 * (0.5 * 0.0625) + 0.5 * 0.25;
  CHECK(value_of(adaptive) == Approx(0.75 - (0.5 + 2.0 / std::sqrt(square + 1e-7) * 0.25 * (0.75 - 1.0))));
}

TEST_CASE("dc_asgd with lambda 0 is async, and with nobody else it is plain descent, to the bit", "[ps]") {
  config::TrainSection train = plain_sgd();
  train.optimizer = {.learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.01};
  config::StrategySection corrected{.update = UpdateRule::dc_asgd};
  corrected.delay.lambda = 0;
  Core async = ready(3, {.update = UpdateRule::async}, train, 0.3F), zero = ready(3, corrected, train, 0.3F);
  Random random(3);
  std::vector<std::uint64_t> steps(3, 0);
  for (int i = 0; i < 200; ++i) {
    const auto trainer = static_cast<std::uint32_t>(random.below(3));
    const auto gradient = static_cast<float>(random.normal());
    ++steps[trainer];
    (void)async.on(push(trainer, steps[trainer], gradient));
    (void)zero.on(push(trainer, steps[trainer], gradient));
    REQUIRE(value_of(async) == value_of(zero));
  }
  corrected.delay.lambda = 2;
  Core one = ready(1, corrected, train, 0.3F), plain = ready(1, {}, train, 0.3F);
  for (std::uint64_t step = 1; step < 100; ++step) {
    const auto gradient = static_cast<float>(random.normal());
    (void)one.on(push(0, step, gradient));
    (void)plain.on(push(0, step, gradient));
    REQUIRE(value_of(one) == value_of(plain));
  }
}

TEST_CASE("dynsgd divides what is late by its lateness", "[ps]") {
  Core core = ready(2, {.update = UpdateRule::dynsgd});
  (void)core.on(push(0, 1, 1));
  (void)core.on(push(0, 2, 1));
  CHECK(value_of(core) == -2);
  (void)core.on(push(1, 1, 3));
  CHECK(value_of(core) == -3);
}

TEST_CASE("a step is complete without its backups, but not without rank 0", "[ps]") {
  config::StrategySection strategy;
  strategy.backup_trainers = 1;
  Core core = ready(3, strategy);
  CHECK(core.on(push(1, 1, 2)).replies.empty());
  CHECK(core.on(push(2, 1, 2)).replies.empty());  // two are enough, and rank 0 is not among them
  CHECK(core.on(push(0, 1, 2)).replies.size() == 3);
  CHECK(core.on(push(0, 2, 4)).replies.empty());
  CHECK(core.on(push(1, 2, 4)).replies.size() == 2);
  CHECK(value_of(core) == -6);
  const Outcome late = core.on(push(2, 2, 100));
  REQUIRE(late.replies.size() == 1);
  CHECK(late.replies[0].header.sequence == 2);
  CHECK(value_of(core) == -6);
  CHECK(core.counts().dropped == 1);
  CHECK(core.on(push(2, 2, 100)).replies.size() == 1);
  CHECK(core.counts().dropped == 1);
  CHECK(core.counts().repeated == 1);
}

TEST_CASE("nonsense of trainers that do not step together is refused, and changes nothing", "[ps]") {
  Core core = ready(2, {.update = UpdateRule::async});
  (void)core.on(push(0, 1, 1));
  const auto refused = [&](Arrival arrival) {
    const Outcome outcome = core.on(std::move(arrival));
    return outcome.replies.size() == 1 && outcome.replies[0].header.kind == DataKind::refused &&
           outcome.saves.empty();
  };
  CHECK(refused(push(0, 3, 1)));
  CHECK(refused({"", header(DataKind::mark, 1, 5), {}}));
  CHECK(refused({"", header(DataKind::mark, 1, 0), {}}));  // of no checkpoint
  CHECK(refused({"", header(DataKind::leave, 1, 4), {}}));
  CHECK(core.on({"", header(DataKind::leave, 1, 0), {}}).replies[0].header.last);
  CHECK(refused(push(1, 1, 1)));
  Core together = ready(2, {});
  CHECK(together.on({"", header(DataKind::leave, 1, 0), {}}).replies[0].header.kind == DataKind::refused);
  CHECK(value_of(core) == -1);
}

}  // namespace trainyard::ps
