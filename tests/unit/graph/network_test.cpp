#include <catch2/catch.hpp>
#include <cmath>

#include "tests/unit/graph/allocations.hpp"
#include "tests/unit/graph/networks.hpp"

namespace trainyard::graph::test {

namespace {

constexpr InputShape shape{3, 12, 11};

std::unique_ptr<Network> build(const config::ModelSection& model, std::uint32_t batch_max) {
  auto network = Network::build(model, shape, 3, {.batch_max = batch_max, .seed = 11});
  if (!network) FAIL(network.error().message);
  return std::move(*network);
}

/// The analytic directional derivative beside the central difference, along random directions of each tensor.
void check_gradients(const config::ModelSection& model) {
  const auto network = build(model, 6);
  const Batch batch = batch_of(6, shape, 5);
  (void)network->train_step(batch.images, batch.labels, batch.keys, 1);
  const std::vector<float> gradients(network->gradients().begin(), network->gradients().end());
  const std::vector<float> values(network->values().begin(), network->values().end());
  Random random(3);
  for (const TensorInfo& tensor : network->tensors()) {
    if (tensor.kind == TensorKind::buffer) continue;
    std::vector<double> direction(tensor.length);
    double expected = 0, norm = 0;
    for (std::size_t i = 0; i < tensor.length; ++i) {
      direction[i] = random.normal();
      norm += direction[i] * direction[i];
    }
    for (std::size_t i = 0; i < tensor.length; ++i) {
      direction[i] /= std::sqrt(norm);
      expected += direction[i] * static_cast<double>(gradients[tensor.offset + i]);
    }
    const double step = 2e-3;
    double losses[2];
    for (int side = 0; side < 2; ++side) {
      for (std::size_t i = 0; i < tensor.length; ++i) {
        network->values()[tensor.offset + i] =
            static_cast<float>(values[tensor.offset + i] + (side == 0 ? -step : step) * direction[i]);
      }
      losses[side] = network->train_step(batch.images, batch.labels, batch.keys, 1).loss_sum;
    }
    std::copy(values.begin(), values.end(), network->values().begin());
    const double measured = (losses[1] - losses[0]) / (2 * step);
    INFO(tensor.name << " expected " << expected << " measured " << measured);
    CHECK(std::abs(measured - expected) < 0.02 + 0.03 * std::abs(expected));
  }
}

}  // namespace

TEST_CASE("gradients of whole networks agree with differences of the loss", "[graph]") {
  SECTION("perceptron") { check_gradients(mlp()); }
  SECTION("convolutions, batch norm, pooling, dropout") { check_gradients(photo_net()); }
  SECTION("valid padding, biases, average pooling, flat batch norm") { check_gradients(old_net()); }
}

TEST_CASE("the gradients of two parts of a batch add up to those of the whole", "[graph]") {
  const auto network = build(mlp(), 8);
  const Batch batch = batch_of(8, shape, 9);
  const std::size_t floats = batch.images.size() / 8;
  (void)network->train_step(batch.images, batch.labels, batch.keys, 1);
  const std::vector<float> whole(network->gradients().begin(), network->gradients().end());
  std::vector<double> sum(whole.size(), 0.0);
  for (const auto& [first, count] : {std::pair<std::size_t, std::size_t>{0, 3}, {3, 5}}) {
    (void)network->train_step(std::span(batch.images).subspan(first * floats, count * floats),
                              std::span(batch.labels).subspan(first, count),
                              std::span(batch.keys).subspan(first, count), 1);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(network->gradients()[i]);
  }
  for (std::size_t i = 0; i < sum.size(); ++i) {
    REQUIRE(static_cast<double>(whole[i]) == Approx(sum[i]).epsilon(1e-4).margin(1e-5));
  }
}

TEST_CASE("the same step gives the same bits, and depends on the key and the step of dropout", "[graph]") {
  const auto a = build(photo_net(), 6), b = build(photo_net(), 6);
  Batch batch = batch_of(6, shape, 5);
  const auto first = a->train_step(batch.images, batch.labels, batch.keys, 4);
  const auto second = b->train_step(batch.images, batch.labels, batch.keys, 4);
  CHECK(first.loss_sum == second.loss_sum);
  CHECK(std::equal(a->gradients().begin(), a->gradients().end(), b->gradients().begin()));
  CHECK(b->train_step(batch.images, batch.labels, batch.keys, 5).loss_sum != first.loss_sum);
  batch.keys[0] ^= 1;
  CHECK(b->train_step(batch.images, batch.labels, batch.keys, 4).loss_sum != first.loss_sum);
}

TEST_CASE("a network learns what can be learnt, and predicts with its running statistics", "[graph]") {
  for (const auto& model : {mlp(), photo_net(), old_net()}) {
    const auto network = build(model, 16);
    double loss = 0;
    for (std::uint64_t step = 1; step <= 150; ++step) {
      const Batch batch = batch_of(16, shape, step);
      loss = network->train_step(batch.images, batch.labels, batch.keys, step).loss_sum / 16;
      for (const TensorInfo& tensor : network->tensors()) {
        for (std::size_t i = tensor.offset; i < tensor.offset + tensor.length; ++i) {
          const float mean = network->gradients()[i] / 16;
          network->values()[i] =
              tensor.kind == TensorKind::buffer ? mean : network->values()[i] - 0.05f * mean;
        }
      }
    }
    CHECK(loss < 0.3);
    const Batch test = batch_of(16, shape, 999);
    std::vector<float> probabilities(16 * 3);
    network->predict(test.images, 16, probabilities);
    int correct = 0;
    for (std::size_t n = 0; n < 16; ++n) {
      const auto row = std::span(probabilities).subspan(3 * n, 3);
      CHECK(row[0] + row[1] + row[2] == Approx(1.0));
      if (row[static_cast<std::size_t>(test.labels[n])] > 0.5f) ++correct;
    }
    CHECK(correct >= 14);
    // One at a time they are the same.
    std::vector<float> one(3);
    network->predict(std::span(test.images).first(test.images.size() / 16), 1, one);
    for (std::size_t k = 0; k < 3; ++k) CHECK(one[k] == Approx(probabilities[k]).margin(1e-5));
  }
}

TEST_CASE("a frozen network predicts what it predicted before", "[graph]") {
  for (const auto& model : {mlp(), photo_net(), old_net()}) {
    auto network = Network::build(model, shape, 3, {.batch_max = 5, .training = false, .seed = 3});
    REQUIRE(network.has_value());
    Random random(4);
    for (const TensorInfo& tensor : (*network)->tensors())
      for (float& value : (*network)->values().subspan(tensor.offset, tensor.length))
        value = static_cast<float>(tensor.init == Init::one ? random.uniform(0.5, 2)
                                                            : value + 0.1 * random.normal());
    const Batch batch = batch_of(5, shape, 21);
    std::vector<float> before(15), after(15);
    (*network)->predict(batch.images, 5, before);
    const std::size_t nodes = (*network)->program(false).steps().size();
    REQUIRE((*network)->freeze().has_value());
    (*network)->predict(batch.images, 5, after);
    for (std::size_t i = 0; i < before.size(); ++i) CHECK(after[i] == Approx(before[i]).margin(1e-5));
    CHECK((*network)->program(false).steps().size() <= nodes);
  }
}

TEST_CASE("a large batch is predicted slice by slice, and each sample as it would be alone", "[graph]") {
  constexpr InputShape large{3, 64, 64};
  constexpr std::uint32_t count = 67;
  const config::ModelSection section{
      {conv(32, 3), plain(LayerKind::relu), conv(32, 3), plain(LayerKind::global_avg_pool), dense(3)}};
  auto network = Network::build(section, large, 3, {.batch_max = count, .training = false, .seed = 3});
  REQUIRE(network.has_value());
  CHECK((*network)->program(false).batch() < count);
  CHECK(count % (*network)->program(false).batch() != 0);
  const Batch batch = batch_of(count, large, 5);
  std::vector<float> all(count * 3), one(3);
  (*network)->predict(batch.images, count, all);
  constexpr std::size_t floats = 3 * 64 * 64;
  for (std::uint32_t n = 0; n < count; ++n) {
    (*network)->predict(std::span(batch.images).subspan(n * floats, floats), 1, one);
    for (std::size_t k = 0; k < 3; ++k) CHECK(all[n * 3 + k] == Approx(one[k]).margin(1e-5));
  }
}

TEST_CASE("a steady step allocates no memory for tensors", "[graph]") {
  const auto network = build(photo_net(), 8);
  const Batch batch = batch_of(8, shape, 1);
  for (std::uint64_t step = 0; step < 3; ++step) {
    (void)network->train_step(batch.images, batch.labels, batch.keys, step);
  }
  std::size_t counts[2];
  largest_allocation(true);
  for (std::size_t& count : counts) {
    const std::size_t before = allocations();
    (void)network->train_step(batch.images, batch.labels, batch.keys, 3);
    count = allocations() - before;
  }
  CHECK(counts[0] == 0);
  CHECK(counts[1] == 0);
  CHECK(largest_allocation(false) <= 4096);  // oneDNN's lists of arguments
}

TEST_CASE("the initial values come from the seed", "[graph]") {
  const auto a = build(photo_net(), 1), b = build(photo_net(), 4);
  CHECK(std::equal(a->values().begin(), a->values().end(), b->values().begin()));
}

}  // namespace trainyard::graph::test
