// Trainers and a shard by turns in one process (tests/bench/replay.hpp): delays are what they are said to be,
// and runs can be repeated to the bit.
#include "tests/bench/replay.hpp"

#include <catch2/catch.hpp>

#include "tests/unit/graph/networks.hpp"

namespace trainyard::bench {

namespace {

constexpr graph::InputShape shape{3, 8, 8};
constexpr std::uint32_t batch = 4;

/// With batch norm, whose statistics go with the pushes.
config::ModelSection model() {
  using namespace graph::test;
  return {{conv(4, 3, 1, false), plain(LayerKind::batch_norm), plain(LayerKind::relu),
           plain(LayerKind::global_avg_pool), dense(3)}};
}

struct Result {
  std::vector<float> values;
  ps::Counts counts;
};

Result run(std::uint32_t trainers, const config::StrategySection& strategy, Turns turns = Turns::fixed,
           std::uint64_t pushes = 48) {
  auto network = graph::Network::build(model(), shape, 3, {.batch_max = batch, .seed = 5});
  REQUIRE(network.has_value());
  ReplaySettings settings{
      .strategy = strategy, .trainers = trainers, .pushes_per_epoch = pushes, .turns = turns, .seed = 9};
  settings.train.optimizer = {.learning_rate = 0.2, .weight_decay = 1e-4};
  Replay replay(**network, settings);
  for (std::uint64_t i = 0; i < pushes; ++i) {
    const auto one = graph::test::batch_of(batch, shape, i);
    REQUIRE(replay.push(one.images, one.labels, one.keys).finite);
  }
  return {{replay.values().begin(), replay.values().end()}, replay.counts()};
}

config::StrategySection corrected(config::DelaySection::Variant variant, double lambda) {
  config::StrategySection out{.update = config::UpdateRule::dc_asgd};
  out.delay = {.variant = variant, .lambda = lambda};
  return out;
}

constexpr config::StrategySection async{.update = config::UpdateRule::async};

}  // namespace

TEST_CASE("trainers that take turns push what is as late as all others are many", "[component]") {
  const Result four = run(4, async);
  for (std::size_t delay = 0; delay < 3; ++delay)
    CHECK(four.counts.staleness[delay] == 1);  // the first round
  CHECK(four.counts.staleness[3] == 45);
  const Result shuffled = run(4, async, Turns::shuffled, 400);
  CHECK(static_cast<double>(shuffled.counts.staleness_sum) / 400 == Approx(3).margin(0.1));
  CHECK(shuffled.counts.staleness[0] > 1);
  CHECK(shuffled.counts.staleness[6] > 0);
  CHECK(shuffled.counts.staleness[7] == 0);
  CHECK(run(4, {}).counts.staleness[0] == 48);
}

TEST_CASE("a replay gives the same bits again, and each rule its own", "[component]") {
  using Variant = config::DelaySection::Variant;
  const std::vector<config::StrategySection> rules{
      {}, async, corrected(Variant::constant, 5), corrected(Variant::adaptive, 2)};
  std::vector<std::vector<float>> all;
  for (const auto& rule : rules) {
    all.push_back(run(4, rule).values);
    CHECK(run(4, rule).values == all.back());
  }
  for (std::size_t i = 0; i < all.size(); ++i)
    for (std::size_t k = 0; k < i; ++k) CHECK(all[i] != all[k]);
  CHECK(run(4, corrected(Variant::constant, 0)).values == all[1]);
  CHECK(run(4, async, Turns::shuffled).values != all[1]);
}

TEST_CASE("one trainer alone is plain descent under every rule", "[component]") {
  using Variant = config::DelaySection::Variant;
  const auto plain = run(1, {}).values;
  CHECK(run(1, async).values == plain);
  CHECK(run(1, corrected(Variant::constant, 5)).values == plain);
  CHECK(run(1, corrected(Variant::adaptive, 2)).values == plain);
}

}  // namespace trainyard::bench
