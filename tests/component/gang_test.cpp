// Trainers and shards over real sockets: what a gang computes does not depend on how the work is shared out.
#include <catch2/catch.hpp>
#include <cmath>
#include <future>

#include "common/base/text.hpp"
#include "common/optim/parameters.hpp"
#include "daemons/ps/data_plane.hpp"
#include "daemons/trainer/exchange.hpp"
#include "daemons/trainer/local_steps.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/graph/networks.hpp"

namespace trainyard {

namespace {

using graph::test::Batch;

constexpr graph::InputShape shape{3, 12, 11};
constexpr std::uint64_t steps = 12;
constexpr std::uint32_t whole = 32;  // samples of all trainers in a step

config::TrainSection train_section() {
  config::TrainSection train;
  train.epochs = 1;
  train.optimizer = {.learning_rate = 0.05, .momentum = 0.9, .weight_decay = 1e-4};
  return train;
}

config::TrainSection train_by(config::OptimizerKind kind) {
  config::TrainSection train;
  train.epochs = 1;
  train.optimizer = config::optimizer_defaults(kind);
  if (kind != config::OptimizerKind::ftrl) train.optimizer.weight_decay = 1e-4;
  // Rules that divide by the gradient's own size make rounding of tiny gradients as large as the rate.
  train.optimizer.learning_rate = std::min(train.optimizer.learning_rate, 0.002);
  return train;
}

/// Without batch norm, whose statistics are each trainer's own.
config::ModelSection model() {
  using namespace graph::test;
  return {{conv(8, 3), plain(LayerKind::relu), max_pool(2), conv(8, 3, 2), plain(LayerKind::relu),
           dropout(0.2), dense(16), plain(LayerKind::relu), dense(3)}};
}

struct Gang {
  std::uint32_t trainers = 1, shards = 1;
  config::TrainSection train = train_section();
  Duration retry = 2s;
  config::StrategySection strategy;
};

std::vector<optim::TensorSize> tensors_of(const config::TrainSection& train) {
  const auto network = graph::Network::build(model(), shape, 3, {.batch_max = 1});
  REQUIRE(network.has_value());
  std::vector<optim::NamedTensor> names;
  for (const auto& tensor : (*network)->tensors())
    names.push_back({tensor.name, tensor.length, static_cast<optim::ValueKind>(tensor.kind)});
  return optim::tensor_sizes(train, names).value();
}

/// Values after each step, as rank 0 sees them; with train.ema, their averages after the last one.
using Trace = std::vector<std::vector<float>>;

/// On a thread of its own, where Catch may not be called: what goes wrong is its result.
Status run_trainer(trainer::Exchange& exchange, std::uint32_t rank, const Gang& gang, Trace* trace) {
  const std::uint32_t trainers = gang.trainers;
  auto network = graph::Network::build(model(), shape, 3, {.batch_max = whole / trainers, .seed = 5});
  if (!network) return network.error();
  // What another rank would begin with does not matter: rank 0 gives the first values. What is frozen is each
  // one's own.
  const bool freezes = !gang.train.parameters.empty();
  for (float& value : (*network)->values()) value += freezes ? 0.0f : static_cast<float>(rank);
  const auto begun = exchange.begin((*network)->values());
  if (!begun) return begun.error();
  if (*begun != 0) return Error{Errc::corrupt, format("began at step {}", *begun)};
  const std::uint32_t count = whole / trainers;
  for (std::uint64_t step = 1; step <= steps; ++step) {
    const Batch batch = graph::test::batch_of(whole, shape, step);
    const std::size_t pixels = batch.images.size() / whole;
    const auto part = [&](const auto& all, std::size_t each) {
      return std::span(all).subspan(rank * count * each, count * each);
    };
    (void)(*network)->train_step(part(batch.images, pixels), part(batch.labels, 1), part(batch.keys, 1),
                                 step);
    const bool together = config::in_step(gang.strategy.update);
    const auto due = step == steps && together ? protocol::Ending::stopped : protocol::Ending::none;
    const auto stepped = exchange.step(
        {.step = step,
         .samples = count,
         .gradients = (*network)->gradients(),
         .marks = {.ending = rank == 0 && exchange.exchanges(step) ? due : protocol::Ending::none}},
        (*network)->values());
    if (!stepped) return stepped.error();
    if (exchange.exchanges(step) && stepped->ending != due)
      return Error{Errc::corrupt, format("the ending of step {} is another", step)};
    if (trace != nullptr) trace->emplace_back((*network)->values().begin(), (*network)->values().end());
  }
  if (!config::in_step(gang.strategy.update)) {
    if (const Status left = exchange.leave({}, 0, (*network)->values()); !left) return left;
    if (trace != nullptr) trace->emplace_back((*network)->values().begin(), (*network)->values().end());
  }
  if (trace == nullptr || !gang.train.ema) return {};
  if (const auto averages = exchange.averages((*network)->values()); !averages) return averages.error();
  trace->emplace_back((*network)->values().begin(), (*network)->values().end());
  return {};
}

void require(const Status& status) {
  INFO((status ? "" : status.error().message));
  REQUIRE(status.has_value());
}

Trace run(const Gang& gang) {
  test::TempDir directory;
  std::vector<std::unique_ptr<ps::DataPlane>> shards;
  std::vector<std::string> endpoints;
  for (std::uint32_t i = 0; i < gang.shards; ++i) {
    auto server = net::DataServer::bind("127.0.0.1");
    REQUIRE(server.has_value());
    endpoints.push_back((*server)->endpoint());
    const ps::Identity identity{
        .job = 1, .incarnation = 1, .shard = i, .trainers = gang.trainers, .shards = gang.shards};
    shards.push_back(std::make_unique<ps::DataPlane>(
        std::move(*server), ps::Core(identity, gang.train, gang.strategy),
        ps::DataPlane::Settings{identity, directory.path()}, [](const ps::Written&) {}));
  }
  const auto tensors = tensors_of(gang.train);
  const bool locally = config::steps_locally(gang.strategy.update);
  const std::atomic<bool> never{false};
  Trace trace;
  std::vector<std::future<Status>> trainers;
  for (std::uint32_t rank = 0; rank < gang.trainers; ++rank) {
    trainers.push_back(std::async(std::launch::async, [&, rank]() -> Status {
      auto exchange = trainer::ShardExchange::connect(
          {.job = 1,
           .incarnation = 1,
           .rank = rank,
           .trainers = gang.trainers,
           .shards = endpoints,
           .tensors = locally ? trainer::LocalSteps::central(tensors, gang.strategy.update) : tensors,
           .train = gang.train,
           .strategy = gang.strategy,
           .steps_per_epoch = steps,
           .slice_floats_max = 500,
           .retry = gang.retry},
          never);
      if (!exchange) return exchange.error();
      if (locally) {
        trainer::LocalSteps::Settings settings{.train = gang.train,
                                               .strategy = gang.strategy,
                                               .trainers = gang.trainers,
                                               .tensors = tensors,
                                               .steps_per_epoch = steps,
                                               .steps = steps,
                                               .resume_step = 0};
        trainer::LocalSteps local(std::move(settings), std::move(*exchange));
        return run_trainer(local, rank, gang, rank == 0 ? &trace : nullptr);
      }
      return run_trainer(**exchange, rank, gang, rank == 0 ? &trace : nullptr);
    }));
  }
  for (auto& trainer : trainers) require(trainer.get());
  return trace;
}

Trace run_alone(const config::TrainSection& train = train_section()) {
  trainer::LocalExchange exchange(train, tensors_of(train), steps);
  Trace trace;
  require(run_trainer(exchange, 0, {.train = train}, &trace));
  return trace;
}

/// The largest difference of a step's values, beside the largest value.
double worst(const Trace& a, const Trace& b) {
  double out = 0;
  for (std::size_t step = 0; step < a.size(); ++step) {
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < a[step].size(); ++i) {
      difference =
          std::max(difference, std::abs(static_cast<double>(a[step][i]) - static_cast<double>(b[step][i])));
      size = std::max(size, std::abs(static_cast<double>(a[step][i])));
    }
    out = std::max(out, difference / size);
  }
  return out;
}

}  // namespace

TEST_CASE("two or four trainers with parts of the batch give the weights of one with all of it", "[gang]") {
  const Trace alone = run_alone();
  REQUIRE(alone.size() == steps);
  for (const Gang& gang : {Gang{1, 1}, Gang{2, 1}, Gang{2, 2}, Gang{4, 3}}) {
    const Trace trace = run(gang);
    REQUIRE(trace.size() == steps);
    INFO(gang.trainers << " trainers, " << gang.shards << " shards");
    CHECK(worst(alone, trace) < 1e-5);
  }
  CHECK(alone.front() != alone.back());
}

TEST_CASE("the same gang gives the same bits again, and so do other numbers of shards", "[gang]") {
  const Trace first = run({2, 2});
  CHECK(first == run({2, 2}));
  CHECK(first == run({2, 1}));
  CHECK(first == run({2, 3}));
  CHECK(run({1, 2}) == run_alone());
}

TEST_CASE("every optimizer gives the weights of one trainer over two trainers and two shards", "[gang]") {
  for (const auto& [name, kind] : config::optimizer_names) {
    const auto train = train_by(kind);
    const Trace alone = run_alone(train), shared = run({2, 2, train});
    REQUIRE(shared.size() == steps);
    INFO(name);
    CHECK(worst(alone, shared) < 1e-5);
    CHECK(alone.front() != alone.back());
    if (kind == config::OptimizerKind::adam) CHECK(shared == run({2, 3, train}));
  }
}

TEST_CASE(
    "clipping by the global norm is the same over shards as alone, also when all is sent again and again",
    "[gang]") {
  auto train = train_section();
  const Trace unclipped = run_alone(train);
  train.clip.norm = 0.05;
  const Trace alone = run_alone(train);
  CHECK(worst(unclipped, alone) > 1e-3);  // it acts
  const Trace two = run({2, 2, train});
  CHECK(worst(alone, two) < 1e-5);
  CHECK(two == run({2, 1, train}));
  CHECK(two == run({2, 3, train}));
  CHECK(two == run({2, 3, train, 1ms}));
  train.clip = {.norm = std::nullopt, .value = 1e-3};
  const Trace values = run_alone(train);
  CHECK(worst(unclipped, values) > 1e-3);
  CHECK(worst(values, run({2, 2, train})) < 1e-5);
}

TEST_CASE("moving averages come back from the shards as one trainer keeps them", "[gang]") {
  auto train = train_section();
  train.ema = {.decay = 0.8};
  const Trace alone = run_alone(train), shared = run({2, 2, train});
  REQUIRE(shared.size() == steps + 1);
  CHECK(worst(alone, shared) < 1e-5);
  CHECK(shared == run({2, 3, train, 1ms}));
  CHECK(shared.back() != shared[steps - 1]);
}

TEST_CASE("frozen tensors stay, their neighbours learn at rates of their own", "[gang]") {
  auto train = train_section();
  train.parameters = {{.match = "conv1.*", .learning_rate = {}, .weight_decay = {}, .freeze = true},
                      {.match = "*.bias", .learning_rate = 0.0, .weight_decay = {}, .freeze = {}}};
  const auto network = graph::Network::build(model(), shape, 3, {.batch_max = 1, .seed = 5});
  const Trace alone = run_alone(train);
  for (const auto& tensor : (*network)->tensors()) {
    const auto first = (*network)->values().subspan(tensor.offset, tensor.length);
    const auto last = std::span(alone.back()).subspan(tensor.offset, tensor.length);
    const bool stays = tensor.name.starts_with("conv1.") || tensor.name.ends_with(".bias");
    INFO(tensor.name);
    CHECK(std::equal(first.begin(), first.end(), last.begin()) == stays);
  }
  CHECK(worst(alone, run({2, 2, train})) < 1e-5);
}

TEST_CASE("gradients in fewer bytes give nearly the same weights, once each, however often they are sent",
          "[gang]") {
  using config::Compression;
  const Trace alone = run_alone();
  for (const auto& [how, apart] : {std::pair{Compression::bf16, 1e-3},
                                   {Compression::fp16, 1e-4},
                                   {Compression::int8, 1e-2},
                                   {Compression::topk, 0.3}}) {
    const auto gang = [&, how = how](std::uint32_t shards, Duration retry) {
      return run({.trainers = 2, .shards = shards, .retry = retry, .strategy = {.compression = how}});
    };
    INFO(static_cast<int>(how));
    const Trace two = gang(2, 2s);
    CHECK(two != alone);
    CHECK(worst(alone, two) < apart);
    CHECK(two == gang(2, 1ms));
    // What is rounded value by value does not depend on who owns it.
    if (how == Compression::bf16 || how == Compression::fp16) CHECK(two == gang(3, 2s));
  }
}

TEST_CASE("async, ssp and dc_asgd with one trainer are plain descent, to the bit", "[gang]") {
  auto train = train_section();
  train.clip.norm = 0.05;
  Trace alone = run_alone(train);
  alone.push_back(alone.back());  // what is left when all have left
  for (const auto rule : {config::UpdateRule::async, config::UpdateRule::ssp, config::UpdateRule::dc_asgd,
                          config::UpdateRule::dynsgd}) {
    INFO(static_cast<int>(rule));
    CHECK(alone == run({.trainers = 1, .shards = 1, .train = train, .strategy = {.update = rule}}));
    CHECK(alone ==
          run({.trainers = 1, .shards = 3, .train = train, .retry = 1ms, .strategy = {.update = rule}}));
  }
}

TEST_CASE("trainers that do not step together all learn, and rank 0 has the values that are left", "[gang]") {
  auto train = train_section();
  train.optimizer.learning_rate = 0.02;
  train.optimizer.momentum = 0;
  const Trace alone = run_alone(train);
  for (const auto rule : {config::UpdateRule::async, config::UpdateRule::ssp, config::UpdateRule::dc_asgd}) {
    config::StrategySection strategy{.update = rule};
    strategy.staleness = 1;
    const Trace trace = run({.trainers = 3, .shards = 2, .train = train, .retry = 1ms, .strategy = strategy});
    REQUIRE(trace.size() == steps + 1);
    CHECK(worst({alone.front()}, {trace.back()}) > 1e-3);  // it moved
    CHECK(worst({alone.back()}, {trace.back()}) < 0.5);    // and stayed about where descent goes
  }
}

TEST_CASE("local_sgd that meets after every step is synchronous descent", "[gang]") {
  auto train = train_section();
  train.optimizer.momentum = 0;  // each trainer's own
  const Trace alone = run_alone(train);
  config::StrategySection strategy{.update = config::UpdateRule::local_sgd};
  strategy.period = 1;
  const Trace met = run({.trainers = 2, .shards = 2, .train = train, .strategy = strategy});
  REQUIRE(met.size() == steps);
  CHECK(worst(alone, met) < 1e-5);
  strategy.period = 5;  // also at the last step, which is no multiple
  const Trace apart = run({.trainers = 2, .shards = 2, .train = train, .strategy = strategy});
  CHECK(apart == run({.trainers = 2, .shards = 3, .train = train, .retry = 1ms, .strategy = strategy}));
  CHECK(worst(alone, apart) > 1e-5);
  CHECK(worst(alone, apart) < 0.1);
}

TEST_CASE("one trainer that steps by itself brings its changes to the shards whole", "[gang]") {
  const Trace alone = run_alone();
  for (const auto rule :
       {config::UpdateRule::downpour, config::UpdateRule::easgd, config::UpdateRule::adag}) {
    config::StrategySection strategy{.update = rule};
    strategy.period = rule == config::UpdateRule::adag ? 1 : 3;
    strategy.elasticity = 1;  // trainer and centre change places
    const Trace trace = run({.trainers = 1, .shards = 2, .strategy = strategy});
    REQUIRE(trace.size() == steps + 1);
    INFO(static_cast<int>(rule));
    if (rule == config::UpdateRule::easgd) {
      CHECK(worst({alone.front()}, {trace.front()}) < 1e-5);
      CHECK(worst({trace[2]}, {alone[2]}) > 1e-5);  // back at the centre, which is where it was
    } else {
      CHECK(worst(alone, trace) < 1e-5);
    }
  }
}

TEST_CASE("an optimizer that needs whole tensors gets them, also with more shards than tensors", "[gang]") {
  const auto train = train_by(config::OptimizerKind::lamb);
  CHECK(worst(run_alone(train), run({1, 9, train})) < 1e-5);
}

}  // namespace trainyard
