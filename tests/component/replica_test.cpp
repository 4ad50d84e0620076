// A shard dies in the middle and its follower takes over: every push counts once, whatever was under way.
#include <catch2/catch.hpp>
#include <future>
#include <thread>

#include "common/base/random.hpp"
#include "common/base/text.hpp"
#include "daemons/ps/data_plane.hpp"
#include "daemons/trainer/exchange.hpp"
#include "tests/support/temp_dir.hpp"

namespace trainyard {

namespace {

constexpr std::uint64_t floats = 3000, steps = 150;
constexpr std::uint32_t trainers = 3;

config::TrainSection plain_sgd() {
  config::TrainSection train;
  train.epochs = 1;
  train.optimizer = {.learning_rate = 1.0, .momentum = 0.0};
  return train;
}

/// Whole numbers, so that sums are exact in any order.
float gradient_of(std::uint32_t trainer, std::uint64_t step) {
  return static_cast<float>(1 + (trainer * 7 + step) % 5);
}

/// One shard and its follower.
struct Pair {
  std::unique_ptr<ps::DataPlane> shard, follower;
  std::string shard_at, follower_at;
};

Pair make_pair(std::uint32_t index, std::uint32_t shards, const config::StrategySection& strategy,
               const std::string& directory) {
  const ps::Identity identity{
      .job = 1, .incarnation = 1, .shard = index, .trainers = trainers, .shards = shards};
  auto first = net::DataServer::bind("127.0.0.1"), second = net::DataServer::bind("127.0.0.1");
  REQUIRE(first.has_value());
  REQUIRE(second.has_value());
  Pair pair{nullptr, nullptr, (*first)->endpoint(), (*second)->endpoint()};
  const auto nothing = [](const ps::Written&) {};
  pair.shard =
      std::make_unique<ps::DataPlane>(std::move(*first), ps::Core(identity, plain_sgd(), strategy),
                                      ps::DataPlane::Settings{identity, directory, plain_sgd(), true, ""}, nothing);
  pair.follower = std::make_unique<ps::DataPlane>(
      std::move(*second), ps::Core(identity, plain_sgd(), strategy),
      ps::DataPlane::Settings{identity, directory, plain_sgd(), false, pair.shard_at}, nothing);
  return pair;
}

Result<std::vector<float>> train(std::uint32_t rank, const trainer::ShardExchange::Settings& settings,
                                 std::atomic<std::uint64_t>& done, const std::atomic<bool>& cancelled) {
  auto exchange = trainer::ShardExchange::connect(settings, cancelled);
  if (!exchange) return exchange.error();
  std::vector<float> values(floats, 0.0F), gradients(floats);
  if (const auto begun = (*exchange)->begin(values); !begun) return begun.error();
  for (std::uint64_t step = 1; step <= steps; ++step) {
    std::fill(gradients.begin(), gradients.end(), gradient_of(rank, step));
    trainer::Push push{.step = step, .samples = 1, .gradients = gradients, .rows = {}, .marks = {}};
    const auto stepped = (*exchange)->step(push, values);
    if (!stepped) return stepped.error();
    if (stepped->step != step) return Error{Errc::corrupt, format("step {} is {}", step, stepped->step)};
    ++done;
  }
  if (const Status left = (*exchange)->leave({}, 0, values); !left) return left.error();
  return values;
}

void run(const config::StrategySection& strategy, std::uint64_t seed) {
  constexpr std::uint32_t shards = 2;
  test::TempDir directory;
  Random random(seed);
  std::vector<Pair> pairs;
  std::vector<std::string> endpoints;
  for (std::uint32_t i = 0; i < shards; ++i) {
    pairs.push_back(make_pair(i, shards, strategy, directory.path()));
    endpoints.push_back(pairs.back().shard_at);
  }
  trainer::ShardAddresses addresses;
  addresses.set(0, endpoints);
  const std::atomic<bool> never{false};
  std::atomic<std::uint64_t> done{0};
  std::vector<std::future<Result<std::vector<float>>>> running;
  for (std::uint32_t rank = 0; rank < trainers; ++rank) {
    trainer::ShardExchange::Settings settings{.job = 1,
                                              .incarnation = 1,
                                              .rank = rank,
                                              .trainers = trainers,
                                              .shards = endpoints,
                                              .tensors = {{.length = floats}},
                                              .train = plain_sgd(),
                                              .strategy = strategy,
                                              .steps_per_epoch = steps,
                                              .slice_floats_max = 500,
                                              .addresses = &addresses};
    running.push_back(std::async(
        std::launch::async, [rank, settings, &done, &never] { return train(rank, settings, done, never); }));
  }
  // The shards die one after the other, each at a step of its own.
  std::uint64_t epoch = 0;
  for (std::uint32_t i = 0; i < shards; ++i) {
    const std::uint64_t until = done + 20 + random.below(100);
    while (done < until) std::this_thread::sleep_for(std::chrono::microseconds(200));
    pairs[i].shard.reset();
    pairs[i].follower->promote();
    endpoints[i] = pairs[i].follower_at;
    addresses.set(++epoch, endpoints);
  }
  float expected = 0;
  for (std::uint32_t rank = 0; rank < trainers; ++rank)
    for (std::uint64_t step = 1; step <= steps; ++step) expected -= gradient_of(rank, step);
  // Together, a step is the mean.
  if (config::in_step(strategy.update)) expected /= trainers;
  std::vector<Result<std::vector<float>>> results;
  for (auto& one : running) results.push_back(one.get());
  for (const auto& result : results) {
    INFO((result ? "" : result.error().message));
    REQUIRE(result.has_value());
  }
  for (const float value : *results[0]) REQUIRE(value == Approx(expected).epsilon(1e-6));
  if (!config::in_step(strategy.update)) CHECK(results[0]->front() == expected);
}

}  // namespace

TEST_CASE("pushes that a shard acknowledged are in its follower once when it takes over", "[replica]") {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    INFO("seed " << seed);
    run({.update = config::UpdateRule::async}, seed);
    run({.update = config::UpdateRule::ssp}, seed);
    run({.update = config::UpdateRule::sync}, seed);
  }
}

TEST_CASE("a shard whose follower is gone answers again once it is told to go on alone", "[replica]") {
  test::TempDir directory;
  const config::StrategySection strategy{.update = config::UpdateRule::async};
  Pair pair = make_pair(0, 1, strategy, directory.path());
  const std::atomic<bool> never{false};
  const auto exchange = [&](std::uint32_t rank) {
    return trainer::ShardExchange::connect({.job = 1,
                                            .incarnation = 1,
                                            .rank = rank,
                                            .trainers = trainers,
                                            .shards = {pair.shard_at},
                                            .tensors = {{.length = floats}},
                                            .train = plain_sgd(),
                                            .strategy = strategy,
                                            .steps_per_epoch = steps},
                                           never)
        .value();
  };
  auto first = exchange(0);
  std::vector<float> values(floats, 0.0F), gradients(floats, 1.0F);
  REQUIRE(first->begin(values).has_value());
  pair.follower.reset();
  std::atomic<bool> answered{false};
  auto push = std::async(std::launch::async, [&] {
    const auto stepped =
        first->step({.step = 1, .samples = 1, .gradients = gradients, .rows = {}, .marks = {}}, values);
    answered = true;
    return stepped.has_value();
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  CHECK_FALSE(answered);  // nobody else has it
  pair.shard->go_on_alone();
  CHECK(push.get());
  CHECK(values.front() == -1);
}

}  // namespace trainyard
