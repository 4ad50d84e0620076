// Ways to train that change no bit: with less memory, and with any number of threads.
#include <catch2/catch.hpp>
#include <cstring>
#include <optional>

#include "common/base/random.hpp"
#include "common/config/presets.hpp"
#include "common/graph/network.hpp"
#include "common/graph/presets.hpp"
#include "tests/support/team.hpp"

namespace trainyard::graph::test {

namespace {

constexpr std::uint32_t count = 12;

struct Preset {
  std::string name;
  InputShape image;
  double width = 1;
};

struct Trained {
  std::vector<float> values;
  std::vector<double> losses;
  std::size_t arena = 0;
};

/// Some steps of SGD on random images.
Trained train(const Preset& preset, NetworkOptions options, int steps) {
  config::PresetOptions chosen = config::find_preset(preset.name)->defaults;
  chosen.width = preset.width;
  auto made = preset_model(preset.name, chosen, {.image = preset.image, .classes = 5}, count);
  if (!made) FAIL(made.error().message);
  options.batch_max = count;
  auto network = Network::build(std::move(made->model), options);
  if (!network) FAIL(network.error().message);
  Random random(5);
  std::vector<float> images(
      static_cast<std::size_t>(preset.image.channels * preset.image.height * preset.image.width * count));
  std::vector<std::int32_t> labels(count);
  std::vector<std::uint64_t> keys(count);
  Trained out;
  for (int step = 1; step <= steps; ++step) {
    for (float& value : images) value = static_cast<float>(random.normal());
    for (std::int32_t& label : labels) label = static_cast<std::int32_t>(random.below(5));
    for (std::uint64_t& key : keys) key = random.next();
    out.losses.push_back(
        (*network)->train_step(images, labels, keys, static_cast<std::uint64_t>(step)).loss_sum);
    const auto gradients = (*network)->gradients();
    for (const TensorInfo& tensor : (*network)->tensors())
      for (std::size_t i = tensor.offset; i < tensor.offset + tensor.length; ++i) {
        float& value = (*network)->values()[i];
        if (tensor.kind == TensorKind::buffer)
          value = gradients[i] / count;
        else
          value -= 0.02f * gradients[i] / count;
      }
  }
  out.values.assign((*network)->values().begin(), (*network)->values().end());
  out.arena = (*network)->program(true).arena_bytes();
  return out;
}

bool same_bits(const Trained& a, const Trained& b) {
  return a.losses == b.losses &&
         std::memcmp(a.values.data(), b.values.data(), a.values.size() * sizeof(float)) == 0;
}

}  // namespace

TEST_CASE("what is computed a second time changes no bit and takes less memory", "[recompute]") {
  for (const auto& [preset, share] : {std::pair{Preset{"resnet20", {3, 32, 32}}, 0.6},
                                      {Preset{"mobilenet_v2", {3, 32, 32}, 0.25}, 0.7},
                                      {Preset{"lenet5", {1, 28, 28}}, 1.0}}) {
    INFO(preset.name);
    const Trained normal = train(preset, {}, 3), low = train(preset, {.low_memory = true}, 3);
    CHECK(same_bits(normal, low));
    INFO(low.arena << " of " << normal.arena << " bytes");
    CHECK(static_cast<double>(low.arena) <= share * static_cast<double>(normal.arena));
  }
}

TEST_CASE("a deterministic training gives the same bits with 1, 2 and 4 threads", "[deterministic]") {
  for (const Preset& preset : {Preset{"lenet5", {1, 28, 28}}, Preset{"resnet20", {3, 32, 32}},
                               Preset{"mobilenet_v2", {3, 32, 32}, 0.25}}) {
    INFO(preset.name);
    std::optional<Trained> first;
    for (const int threads : {1, 2, 4}) {
      const trainyard::test::Team team(threads);
      const Trained trained = train(preset, {.deterministic = true}, 3);
      if (!first) first = trained;
      INFO("threads " << threads);
      CHECK(same_bits(trained, *first));
    }
    const Trained low = train(preset, {.low_memory = true, .deterministic = true}, 3);
    CHECK(same_bits(low, *first));
  }
}

TEST_CASE("what memory and threads leave alone they leave alone in 16 bits", "[recompute][deterministic]") {
  for (const Preset& preset : {Preset{"lenet5", {1, 28, 28}}, Preset{"resnet20", {3, 32, 32}}})
    for (const auto precision : {config::Precision::bf16, config::Precision::fp16}) {
      INFO(preset.name << " in precision " << static_cast<int>(precision));
      std::optional<Trained> first;
      for (const int threads : {1, 2, 4}) {
        const trainyard::test::Team team(threads);
        const Trained trained = train(preset, {.precision = precision, .deterministic = true}, 3);
        if (!first) first = trained;
        INFO("threads " << threads);
        CHECK(same_bits(trained, *first));
      }
      CHECK(same_bits(train(preset, {.precision = precision, .low_memory = true}, 3),
                      train(preset, {.precision = precision}, 3)));
    }
}

}  // namespace trainyard::graph::test
