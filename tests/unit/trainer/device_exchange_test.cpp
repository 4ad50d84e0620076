// The exchange of a trainer whose device updates the values, beside that of one on processors. The device is
// the host in its place.
#include <catch2/catch.hpp>

#include "common/base/random.hpp"
#include "daemons/trainer/device_exchange.hpp"
#include "tests/kernels/cuda_host/backend.hpp"
#include "tests/unit/graph/networks.hpp"

namespace trainyard::trainer {
namespace {

constexpr graph::InputShape kShape{3, 12, 11};

std::unique_ptr<graph::Network> network_on(std::shared_ptr<ops::Backend> backend) {
  auto network = graph::Network::build(graph::test::photo_net(), kShape, 3,
                                       {.batch_max = 6, .training = true, .backend = std::move(backend)});
  if (!network) FAIL(network.error().message);
  return std::move(*network);
}

std::vector<optim::TensorSize> tensors_of(const graph::Network& network) {
  std::vector<optim::TensorSize> out;
  for (const graph::TensorInfo& tensor : network.tensors())
    out.push_back({.length = tensor.length,
                   .kind = static_cast<std::uint8_t>(tensor.kind),
                   .decay = tensor.kind == graph::TensorKind::weight ? 1e-3 : 0.0,
                   .frozen = out.size() == 4});
  return out;
}

config::TrainSection settings() {
  config::TrainSection train;
  train.optimizer = config::optimizer_defaults(config::OptimizerKind::adamw);
  train.optimizer.learning_rate = 0.01;
  train.schedule.warmup_steps = 4;
  train.clip.norm = 1.0;
  train.ema.emplace().decay = 0.5;
  return train;
}

/// Steps from..to of a device; 0 samples in step 3.
void steps_of(DeviceExchange& exchange, graph::Network& network, std::uint64_t from, std::uint64_t to) {
  for (std::uint64_t step = from; step <= to; ++step) {
    if (step != 3) {
      const auto batch = graph::test::batch_of(6, kShape, step);
      const void* const inputs[] = {batch.images.data()};
      graph::Feed feed{6, inputs, batch.labels.data(), batch.keys, step};
      feed.update = &exchange.next(6);
      REQUIRE(network.train_step(feed, nullptr).finite);
    }
    REQUIRE(exchange.step({.step = step, .samples = step == 3 ? 0u : 6u}, {}).has_value());
  }
}

std::string bytes_of(const optim::Table::Saved& saved) {
  std::string out;
  for (const auto piece : saved.pieces())
    out.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  return out;
}

}  // namespace

TEST_CASE("what a device updated goes on from its checkpoint, on a device and on processors",
          "[exchange][device]") {
  const config::TrainSection train = settings();
  const std::shared_ptr<ops::Backend> backend = ops::cuda_on_host_backend();
  const auto first = network_on(backend), second = network_on(backend);
  const auto tensors = tensors_of(*first);
  const auto exchange_of = [&](graph::Network& network) {
    return std::make_unique<DeviceExchange>(train, tensors, 10, *optim::DeviceRule::make(train, tensors),
                                            network);
  };
  const auto one = exchange_of(*first), two = exchange_of(*second);
  REQUIRE(one->begin(first->values()).value() == 0);
  steps_of(*one, *first, 1, 5);
  const std::string at_five = bytes_of(*one->own_state());
  std::vector<float> values_at_five(first->look().begin(), first->look().end());
  std::vector<float> averages_at_five = values_at_five;
  REQUIRE(one->averages(averages_at_five).has_value());
  CHECK(averages_at_five != values_at_five);
  steps_of(*one, *first, 6, 8);

  REQUIRE(two->restore(at_five).has_value());
  REQUIRE(two->begin(second->values()).value() == 5);
  CHECK(std::equal(values_at_five.begin(), values_at_five.end(), second->look().begin()));
  steps_of(*two, *second, 6, 8);
  CHECK(std::equal(first->look().begin(), first->look().end(), second->look().begin()));
  CHECK(bytes_of(*one->own_state()) == bytes_of(*two->own_state()));

  LocalExchange alone(train, tensors, 10);
  REQUIRE(alone.restore(at_five).has_value());
  std::vector<float> values(values_at_five.size()), averages = values_at_five;
  values = values_at_five;
  REQUIRE(alone.begin(values).value() == 5);
  CHECK(values == values_at_five);
  REQUIRE(alone.averages(averages).has_value());
  CHECK(averages == averages_at_five);
}

}  // namespace trainyard::trainer
