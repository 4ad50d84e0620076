// Values that a device updates beside the same ones in a table on the processor. Which device is each
// program's own.
#include <catch2/catch.hpp>
#include <cmath>

#include "common/graph/network.hpp"
#include "common/optim/device_rule.hpp"
#include "common/optim/table.hpp"
#include "tests/kernels/cuda_host/backend.hpp"
#include "tests/unit/graph/networks.hpp"

namespace trainyard::graph::test {
namespace {

using config::OptimizerKind;

constexpr InputShape kShape{3, 12, 11};

std::unique_ptr<Network> on_device(const config::ModelSection& model) {
  auto network = Network::build(
      model, kShape, 3, {.batch_max = 6, .training = true, .seed = 11, .backend = ops::subject_backend()});
  if (!network) FAIL(network.error().message);
  return std::move(*network);
}

/// The second tensor is frozen, biases do not decay, one tensor has a rate of its own.
std::vector<optim::TensorSize> tensors_of(const Network& network) {
  std::vector<optim::TensorSize> out;
  for (const TensorInfo& tensor : network.tensors()) {
    const bool weight = tensor.kind == TensorKind::weight;
    out.push_back({.length = tensor.length,
                   .kind = static_cast<std::uint8_t>(tensor.kind),
                   .rate = out.size() == 3 ? 0.5 : 1.0,
                   .decay = weight ? 0.01 : 0.0,
                   .frozen = out.size() == 1});
  }
  return out;
}

struct Owner {
  explicit Owner(const config::TrainSection& of, Network& device)
      : train(of),
        tensors(tensors_of(device)),
        rule(std::move(*optim::DeviceRule::make(train, tensors))),
        slices(optim::slice_over(tensors, 1)),
        table(std::move(*optim::Table::make(train, slices, 5, own(device.look())))) {
    REQUIRE(device.keep(rule.plan()).has_value());
    const auto saved = table.save();
    std::size_t next = 0;
    for (const optim::RuleArray& array : optim::rule_arrays(train.optimizer))
      device.write_kept(array.place, whole(saved.arrays[next++], device));
    if (train.ema) device.write_kept(tensor::kUpdateAverage, whole(saved.arrays[next], device));
  }
  std::vector<float> own(std::span<const float> flat) const {
    std::vector<float> out;
    for (const optim::Slice& slice : slices) {
      const auto part = flat.subspan(slice.offset, slice.length);
      out.insert(out.end(), part.begin(), part.end());
    }
    return out;
  }
  std::vector<float> whole(const std::vector<float>& owned, const Network& device) const {
    std::vector<float> out(device.model().length);
    std::size_t at = 0;
    for (const optim::Slice& slice : slices) {
      std::copy_n(owned.data() + at, slice.length, out.data() + slice.offset);
      at += slice.length;
    }
    return out;
  }
  tensor::UpdateStep next(std::uint32_t samples) const {
    return rule.step(table.rate(table.step() + 1), table.step() + 1, samples);
  }

  config::TrainSection train;
  std::vector<optim::TensorSize> tensors;
  optim::DeviceRule rule;
  std::vector<optim::Slice> slices;
  optim::Table table;
};

void require_near(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    INFO("value " << i << " of " << a.size());
    REQUIRE(a[i] == Approx(b[i]).epsilon(2e-4).margin(2e-6));
  }
}

struct Case {
  const char* name;
  OptimizerKind kind;
  std::function<void(config::TrainSection&)> change = [](config::TrainSection&) {};
};

const std::vector<Case> kCases{
    {"sgd", OptimizerKind::sgd, [](auto& train) { train.optimizer.momentum = 0; }},
    {"momentum", OptimizerKind::sgd, [](auto& train) { train.optimizer.momentum = 0.9; }},
    {"nesterov with an average", OptimizerKind::sgd,
     [](auto& train) {
       train.optimizer.momentum = 0.8;
       train.optimizer.nesterov = true;
       train.ema.emplace().decay = 0.75;
     }},
    {"adam, clipped by norm", OptimizerKind::adam, [](auto& train) { train.clip.norm = 0.05; }},
    {"adamw, clipped by value", OptimizerKind::adamw, [](auto& train) { train.clip.value = 0.01; }},
    {"adagrad", OptimizerKind::adagrad, [](auto& train) { train.optimizer.initial_accumulator = 0.1; }},
    {"rmsprop", OptimizerKind::rmsprop},
    {"rmsprop, centered, with momentum", OptimizerKind::rmsprop,
     [](auto& train) {
       train.optimizer.centered = true;
       train.optimizer.momentum = 0.5;
     }},
    {"ftrl", OptimizerKind::ftrl,
     [](auto& train) {
       train.optimizer.l1 = 0.1;
       train.optimizer.l2 = 0.2;
     }},
};

TEST_CASE("a device updates its values as a table does", "[device][update]") {
  for (const Case& each : kCases) {
    INFO(each.name);
    config::TrainSection train;
    train.optimizer = config::optimizer_defaults(each.kind);
    train.optimizer.learning_rate = 0.02;
    each.change(train);
    const auto device = on_device(photo_net());
    Owner owner(train, *device);
    const std::vector<float> before(device->look().begin(), device->look().end());
    for (std::uint64_t step = 1; step <= 8; ++step) {
      INFO("step " << step);
      const std::uint32_t count = step % 3 == 0 ? 4 : 6;
      const Batch batch = batch_of(count, kShape, step);
      const void* const inputs[] = {batch.images.data()};
      const tensor::UpdateStep numbers = owner.next(count);
      const Feed feed{count, inputs, batch.labels.data(), batch.keys, step, &numbers};
      REQUIRE(device->train_step(feed, nullptr).finite);
      const std::vector<float> gradients = owner.own(device->gradients());
      const optim::Contribution contribution{count, gradients, {}};
      owner.table.apply({&contribution, 1});
      require_near(owner.own(device->look()), *owner.table.values());
    }
    const optim::TensorSize frozen = owner.tensors[1];
    const std::size_t from = device->tensors()[1].offset;
    for (std::size_t i = from; i < from + frozen.length; ++i) REQUIRE(device->look()[i] == before[i]);
    const auto saved = owner.table.save();
    std::vector<float> kept(device->model().length);
    std::size_t next = 0;
    for (const optim::RuleArray& array : optim::rule_arrays(train.optimizer)) {
      INFO("array " << array.name);
      device->read_kept(array.place, kept);
      require_near(owner.own(kept), saved.arrays[next++]);
    }
    if (!train.ema) continue;
    device->read_kept(tensor::kUpdateAverage, kept);
    require_near(owner.own(kept), saved.arrays[next]);
  }
}

TEST_CASE("values that were written are those that a device goes on with", "[device][update]") {
  config::TrainSection train;
  train.optimizer = config::optimizer_defaults(OptimizerKind::sgd);
  train.optimizer.momentum = 0;
  const auto device = on_device(mlp());
  Owner owner(train, *device);
  const Batch batch = batch_of(6, kShape, 1);
  const void* const inputs[] = {batch.images.data()};
  const auto loss = [&](bool update) {
    const tensor::UpdateStep numbers = owner.next(6);
    return device
        ->train_step({6, inputs, batch.labels.data(), batch.keys, 1, update ? &numbers : nullptr}, nullptr)
        .loss_sum;
  };
  const std::vector<float> first(device->look().begin(), device->look().end());
  const double before = loss(true), after = loss(false);
  CHECK(after < before);
  std::copy(first.begin(), first.end(), device->values().begin());
  CHECK(loss(true) == before);
  CHECK(loss(false) == after);
  std::vector<float> other = first;
  device->swap_values(other);
  CHECK(other != first);
  CHECK(loss(false) == before);
}

TEST_CASE("a step that is not finite changes no value of a device", "[device][update]") {
  config::TrainSection train;
  train.optimizer = config::optimizer_defaults(OptimizerKind::adam);
  const auto device = on_device(mlp());
  Owner owner(train, *device);
  Batch batch = batch_of(6, kShape, 1);
  const void* const inputs[] = {batch.images.data()};
  const std::vector<float> before(device->look().begin(), device->look().end());
  for (int round = 0; round < 3; ++round) {
    batch.images[5] = round == 1 ? INFINITY : NAN;
    const tensor::UpdateStep numbers = owner.next(6);
    const StepResult result =
        device->train_step({6, inputs, batch.labels.data(), batch.keys, 1, &numbers}, nullptr);
    CHECK_FALSE(result.finite);
    CHECK(std::equal(before.begin(), before.end(), device->look().begin()));
  }
}

TEST_CASE("rules that look at whole tensors are refused for a device, with the reason", "[device][update]") {
  config::TrainSection train;
  train.optimizer = config::optimizer_defaults(OptimizerKind::lamb);
  const optim::TensorSize tensor{.length = 3};
  const auto rule = optim::DeviceRule::make(train, {&tensor, 1});
  REQUIRE_FALSE(rule.has_value());
  CHECK(rule.error().message.find("norms of whole tensors") != std::string::npos);
}

}  // namespace
}  // namespace trainyard::graph::test
