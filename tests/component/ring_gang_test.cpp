// Trainers in a ring over real sockets: what they compute is what one trainer alone and a gang with shards
// compute, and all of them hold the same bits.
#include <catch2/catch.hpp>
#include <cmath>
#include <future>

#include "common/base/text.hpp"
#include "common/optim/parameters.hpp"
#include "daemons/ps/data_plane.hpp"
#include "daemons/trainer/early_gradients.hpp"
#include "daemons/trainer/ring_exchange.hpp"
#include "tests/support/temp_dir.hpp"
#include "tests/unit/graph/networks.hpp"

namespace trainyard {

namespace {

using graph::test::Batch;

constexpr graph::InputShape shape{3, 12, 11};
constexpr std::uint64_t steps = 10;
constexpr std::uint32_t whole = 24;  // samples of all trainers in a step

config::TrainSection train_section() {
  config::TrainSection train;
  train.epochs = 1;
  train.optimizer = {.learning_rate = 0.05, .momentum = 0.9, .weight_decay = 1e-4};
  return train;
}

/// Without batch norm, whose statistics are each trainer's own.
config::ModelSection plain_model() {
  using namespace graph::test;
  return {{conv(8, 3), plain(LayerKind::relu), max_pool(2), conv(8, 3, 2), plain(LayerKind::relu),
           dropout(0.2), dense(16), plain(LayerKind::relu), dense(3)}};
}

config::ModelSection model_with_norm() {
  using namespace graph::test;
  return {{conv(8, 3), plain(LayerKind::batch_norm), plain(LayerKind::relu), max_pool(2), dense(3)}};
}

struct Gang {
  std::uint32_t trainers = 2;
  config::TrainSection train = train_section();
  bool norm = false;                  // the model has batch norm
  std::uint64_t bucket_bytes = 2000;  // several buckets
  bool early = true;                  // gradients leave while backward goes on
  std::vector<std::uint32_t> counts;  // samples of each rank; even unless given
  std::uint64_t stop_after = steps, stop_marked = steps;
};

struct Trainer {
  std::vector<std::vector<float>> trace;  // values after each step; with train.ema, their averages at the end
  std::string state;                      // own_state() after the last step
};

std::unique_ptr<graph::Network> network_of(const Gang& gang) {
  auto network = graph::Network::build(gang.norm ? model_with_norm() : plain_model(), shape, 3,
                                       {.batch_max = whole, .seed = 5});
  REQUIRE(network.has_value());
  return std::move(*network);
}

std::vector<optim::TensorSize> tensors_of(const Gang& gang) {
  const auto network = network_of(gang);
  std::vector<optim::NamedTensor> names;
  for (const auto& tensor : network->tensors())
    names.push_back({tensor.name, tensor.length, static_cast<optim::ValueKind>(tensor.kind)});
  return optim::tensor_sizes(gang.train, names).value();
}

/// The samples first..first+count of a step.
struct Part {
  Batch batch;
  std::uint32_t first = 0, count = 0;
  std::vector<const void*> inputs;
  graph::Feed feed(std::uint64_t step) {
    const std::size_t pixels = batch.images.size() / whole;
    inputs = {batch.images.data() + first * pixels};
    return {count, inputs, batch.labels.data() + first, std::span(batch.keys).subspan(first, count), step};
  }
};

/// On a thread of its own, where Catch may not be called: what goes wrong is its result.
Status run_trainer(trainer::Exchange& exchange, trainer::RingExchange* ring, graph::Network& network,
                   std::uint32_t rank, const Gang& gang, Trainer& out) {
  // What another rank would begin with does not matter: rank 0 gives the first values. What is frozen is each
  // one's own.
  for (float& value : network.values())
    value += gang.train.parameters.empty() ? static_cast<float>(rank) : 0.0f;
  const auto begun = exchange.begin(network.values());
  if (!begun) return begun.error();
  std::uint32_t first = 0, count = whole / gang.trainers;
  for (std::uint32_t i = 0; i < rank; ++i) first += gang.counts.empty() ? count : gang.counts[i];
  if (!gang.counts.empty()) count = gang.counts[rank];
  const std::uint32_t batches = gang.train.accumulation;
  for (std::uint64_t step = *begun + 1; step <= gang.stop_after; ++step) {
    const Batch batch = graph::test::batch_of(whole, shape, step);
    std::vector<float> sum;
    trainer::Push push{.step = step, .samples = count, .gradients = network.gradients()};
    for (std::uint32_t i = 0; i < batches && count > 0; ++i) {
      Part part{batch, first + count * i / batches, count * (i + 1) / batches - count * i / batches, {}};
      const bool last = i + 1 == batches;
      std::optional<trainer::EarlyGradients> early;
      if (last && ring != nullptr && gang.early) {
        early.emplace(*ring);
        ring->expect(network.gradients(), sum);
      }
      (void)network.train_step(part.feed(step), early ? early->beside(nullptr) : nullptr);
      if (batches == 1) continue;
      if (i == 0) sum.assign(network.gradients().size(), 0.0f);
      for (std::size_t at = 0; at < sum.size(); ++at)
        sum[at] = i == 0 ? network.gradients()[at] : sum[at] + network.gradients()[at];
      push.gradients = sum;
    }
    const auto due = step == gang.stop_marked ? protocol::Ending::stopped : protocol::Ending::none;
    if (rank == 0) push.marks.ending = due;
    const auto stepped = exchange.step(push, network.values());
    if (!stepped) return stepped.error();
    if (stepped->ending != due) return Error{Errc::corrupt, format("the ending of step {} is another", step)};
    out.trace.emplace_back(network.values().begin(), network.values().end());
  }
  if (gang.train.ema) {
    if (const auto averages = exchange.averages(network.values()); !averages) return averages.error();
    out.trace.emplace_back(network.values().begin(), network.values().end());
  }
  if (const auto state = exchange.own_state()) {
    for (const auto piece : state->pieces())
      out.state.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  }
  return {};
}

void require(const Status& status) {
  INFO((status ? "" : status.error().message));
  REQUIRE(status.has_value());
}

/// All trainers of a ring; from `state`, where it is given to each.
std::vector<Trainer> run_ring(const Gang& gang, const std::string& state = {}) {
  std::vector<std::unique_ptr<collective::Listener>> listeners;
  trainer::RingExchange::Settings settings;
  settings.bucket_bytes = gang.bucket_bytes;
  settings.stop_patience = 0s;
  for (std::uint32_t i = 0; i < gang.trainers; ++i) {
    auto listener = collective::Listener::bind("127.0.0.1");
    REQUIRE(listener.has_value());
    settings.ring.endpoints.push_back((*listener)->endpoint());
    listeners.push_back(std::move(*listener));
  }
  const auto tensors = tensors_of(gang);
  const std::atomic<bool> never{false};
  std::vector<Trainer> out(gang.trainers);
  std::vector<std::future<Status>> running;
  for (std::uint32_t rank = 0; rank < gang.trainers; ++rank) {
    std::shared_ptr<graph::Network> network = network_of(gang);
    running.push_back(std::async(std::launch::async, [&, rank, network]() -> Status {
      auto own = settings;
      own.ring.rank = rank;
      auto ring = trainer::RingExchange::connect(gang.train, tensors, steps, own, *listeners[rank], never);
      if (!ring) return ring.error();
      if (!state.empty()) {
        if (const Status restored = (*ring)->restore(state); !restored) return restored;
      }
      return run_trainer(**ring, ring->get(), *network, rank, gang, out[rank]);
    }));
  }
  for (auto& one : running) require(one.get());
  return out;
}

/// The first of them, after a look at all: they hold the same bits.
Trainer ring(const Gang& gang, const std::string& state = {}) {
  auto all = run_ring(gang, state);
  for (const Trainer& other : all) {
    CHECK(other.trace == all.front().trace);
    CHECK(other.state == all.front().state);
  }
  return std::move(all.front());
}

Trainer alone(Gang gang) {
  gang.trainers = 1;
  gang.counts.clear();
  trainer::LocalExchange exchange(gang.train, tensors_of(gang), steps);
  Trainer out;
  require(run_trainer(exchange, nullptr, *network_of(gang), 0, gang, out));
  return out;
}

Trainer with_shards(const Gang& gang, std::uint32_t count) {
  test::TempDir directory;
  std::vector<std::unique_ptr<ps::DataPlane>> shards;
  std::vector<std::string> endpoints;
  for (std::uint32_t i = 0; i < count; ++i) {
    auto server = net::DataServer::bind("127.0.0.1");
    REQUIRE(server.has_value());
    endpoints.push_back((*server)->endpoint());
    const ps::Identity identity{
        .job = 1, .incarnation = 1, .shard = i, .trainers = gang.trainers, .shards = count};
    shards.push_back(std::make_unique<ps::DataPlane>(std::move(*server), ps::Core(identity, gang.train),
                                                     ps::DataPlane::Settings{identity, directory.path()},
                                                     [](const ps::Written&) {}));
  }
  const auto tensors = tensors_of(gang);
  const std::atomic<bool> never{false};
  std::vector<Trainer> out(gang.trainers);
  std::vector<std::future<Status>> running;
  for (std::uint32_t rank = 0; rank < gang.trainers; ++rank) {
    std::shared_ptr<graph::Network> network = network_of(gang);
    running.push_back(std::async(std::launch::async, [&, rank, network]() -> Status {
      auto exchange = trainer::ShardExchange::connect({.job = 1,
                                                       .incarnation = 1,
                                                       .rank = rank,
                                                       .shards = endpoints,
                                                       .tensors = tensors,
                                                       .train = gang.train,
                                                       .steps_per_epoch = steps},
                                                      never);
      if (!exchange) return exchange.error();
      return run_trainer(**exchange, nullptr, *network, rank, gang, out[rank]);
    }));
  }
  for (auto& one : running) require(one.get());
  return out.front();
}

/// The largest difference of a step's values, beside the largest value.
double worst(const Trainer& a, const Trainer& b) {
  REQUIRE(a.trace.size() == b.trace.size());
  double out = 0;
  for (std::size_t step = 0; step < a.trace.size(); ++step) {
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < a.trace[step].size(); ++i) {
      const double one = a.trace[step][i], other = b.trace[step][i];
      difference = std::max(difference, std::abs(one - other));
      size = std::max(size, std::abs(one));
    }
    out = std::max(out, difference / size);
  }
  return out;
}

}  // namespace

TEST_CASE("trainers in a ring give the weights of one with the whole batch and of a gang with shards",
          "[ring]") {
  const Trainer one = alone({});
  REQUIRE(one.trace.size() == steps);
  CHECK(one.trace.front() != one.trace.back());
  for (const std::uint32_t trainers : {1u, 2u, 3u, 4u}) {
    INFO(trainers << " trainers");
    const Trainer together = ring({.trainers = trainers});
    CHECK(worst(one, together) < 1e-5);
    CHECK(worst(with_shards({.trainers = trainers}, 2), together) < 1e-5);
  }
  CHECK(ring({.trainers = 1}).trace == one.trace);
}

TEST_CASE("the same ring gives the same bits again, whether gradients leave early or at the end", "[ring]") {
  const Trainer first = ring({.trainers = 3});
  CHECK(ring({.trainers = 3}).trace == first.trace);
  CHECK(ring({.trainers = 3, .early = false}).trace == first.trace);
}

TEST_CASE("a step of several batches gives the same bits early and late, and the weights of one batch",
          "[ring]") {
  auto train = train_section();
  train.accumulation = 3;
  const Trainer early = ring({.trainers = 2, .train = train});
  CHECK(ring({.trainers = 2, .train = train, .early = false}).trace == early.trace);
  CHECK(worst(alone({}), early) < 1e-5);
}

TEST_CASE("trainers weigh by their samples, and one without any counts for nothing", "[ring]") {
  const Trainer one = alone({});
  CHECK(worst(one, ring({.trainers = 3, .counts = {5, 17, 2}})) < 1e-5);
  CHECK(worst(one, ring({.trainers = 3, .counts = {0, 16, 8}})) < 1e-5);
}

TEST_CASE("a step without a single sample changes nothing", "[ring]") {
  const Trainer none = ring({.trainers = 2, .counts = {0, 0}});
  CHECK(none.trace.front() == none.trace.back());
}

TEST_CASE("running statistics become the mean over all samples", "[ring]") {
  const Gang even{.trainers = 2, .norm = true};
  CHECK(worst(with_shards(even, 1), ring(even)) < 1e-5);
  Gang uneven = even;
  uneven.counts = {4, 20};
  const Trainer together = ring(uneven);
  CHECK(worst(with_shards(uneven, 1), together) < 1e-5);
  CHECK(worst(ring(even), together) > 1e-4);
}

TEST_CASE("every optimizer, clipping and averages act in a ring as alone", "[ring]") {
  for (const auto& [name, kind] : config::optimizer_names) {
    auto train = train_section();
    train.optimizer = config::optimizer_defaults(kind);
    train.optimizer.learning_rate = std::min(train.optimizer.learning_rate, 0.002);
    INFO(name);
    CHECK(worst(alone({.train = train}), ring({.train = train})) < 1e-5);
  }
  auto train = train_section();
  const Trainer unclipped = alone({});
  train.clip.norm = 0.05;
  train.ema = {.decay = 0.8};
  const Trainer one = alone({.train = train});
  REQUIRE(one.trace.size() == steps + 1);
  CHECK(worst(one, ring({.trainers = 3, .train = train})) < 1e-5);
  CHECK(one.trace[steps - 1] != unclipped.trace.back());
}

TEST_CASE("frozen tensors stay, their neighbours learn", "[ring]") {
  auto train = train_section();
  train.parameters = {{.match = "conv1.*", .learning_rate = {}, .weight_decay = {}, .freeze = true}};
  const Trainer one = alone({.train = train});
  CHECK(worst(one, ring({.train = train})) < 1e-5);
  const auto network = network_of({});
  for (const auto& tensor : network->tensors()) {
    const auto first = network->values().subspan(tensor.offset, tensor.length);
    const auto last = std::span(one.trace.back()).subspan(tensor.offset, tensor.length);
    INFO(tensor.name);
    CHECK(std::equal(first.begin(), first.end(), last.begin()) == tensor.name.starts_with("conv1."));
  }
}

TEST_CASE("from a checkpoint every trainer goes on with the bits of a run that was not interrupted",
          "[ring]") {
  auto train = train_section();
  train.ema = {.decay = 0.8};
  const Trainer through = ring({.trainers = 3, .train = train});
  Gang first{.trainers = 3, .train = train};
  first.stop_after = 4;
  const Trainer begun = ring(first);
  REQUIRE(begun.trace.size() == 5);  // and the averages
  const Trainer rest = ring({.trainers = 3, .train = train}, begun.state);
  REQUIRE(rest.trace.size() == 7);
  CHECK(rest.trace.back() == through.trace.back());
  CHECK(rest.state == through.state);
}

TEST_CASE("trainers that do not begin at the same step end with an error that says so", "[ring]") {
  Gang first{.trainers = 1};
  first.stop_after = 4;
  const std::string state = ring(first).state;
  std::vector<std::unique_ptr<collective::Listener>> listeners;
  trainer::RingExchange::Settings settings;
  settings.stop_patience = 0s;
  for (std::uint32_t i = 0; i < 2; ++i) {
    listeners.push_back(std::move(collective::Listener::bind("127.0.0.1").value()));
    settings.ring.endpoints.push_back(listeners.back()->endpoint());
  }
  const std::atomic<bool> never{false};
  const auto tensors = tensors_of({});
  const auto rank = [&](std::uint32_t number) -> Status {
    auto own = settings;
    own.ring.rank = number;
    auto exchange =
        trainer::RingExchange::connect(train_section(), tensors, steps, own, *listeners[number], never);
    if (!exchange) return exchange.error();
    if (number == 1) {
      if (const Status restored = (*exchange)->restore(state); !restored) return restored;
    }
    std::vector<float> values(network_of({})->values().size());
    const auto begun = (*exchange)->begin(values);
    return begun ? Status() : Status(begun.error());
  };
  auto other = std::async(std::launch::async, rank, 1);
  const Status mine = rank(0);
  const Status theirs = other.get();
  REQUIRE_FALSE(theirs.has_value());
  CHECK(theirs.error().message == "all_reduce: this trainer is at step 4, trainer-0 at step 0");
  REQUIRE_FALSE(mine.has_value());
  CHECK_THAT(mine.error().message, Catch::Contains("rank 1 gave up: ") && Catch::Contains("is at step 4"));
}

}  // namespace trainyard
