// Trains a preset on one batch of random data, whatever its inputs and its loss are.
#pragma once

#include <catch2/catch.hpp>
#include <string>
#include <utility>
#include <vector>

#include "common/base/random.hpp"
#include "common/config/presets.hpp"
#include "common/graph/network.hpp"
#include "common/graph/presets.hpp"
#include "tests/unit/graph/allocations.hpp"

namespace trainyard::graph::test {

/// So many samples.
class PresetBatch {
 public:
  PresetBatch(const Model& model, const LossSpec& loss, const DataShape& data, std::uint32_t count) {
    Random random(11);
    for (const External& external : model.graph.externals) {
      const auto values = static_cast<std::size_t>(external.of.shape.with_batch(count).elements());
      if (external.of.type == DType::f32) {
        auto& out = reals_.emplace_back(values);
        for (float& value : out) value = static_cast<float>(random.normal());
        inputs_.push_back(out.data());
        continue;
      }
      const bool lengths = external.name == "lengths";
      auto& out = wholes_.emplace_back(values);
      for (std::int32_t& value : out)
        value =
            static_cast<std::int32_t>(lengths ? 1 + random.below(static_cast<std::uint64_t>(data.steps))
                                              : random.below(static_cast<std::uint64_t>(data.vocabulary)));
      inputs_.push_back(out.data());
    }
    for (std::uint32_t n = 0; n < count; ++n) keys_.push_back(random.next());
    const auto labels = static_cast<std::size_t>(loss.kind == Kind::crf_loss ? count * data.steps : count);
    for (std::size_t i = 0; i < labels; ++i)
      labels_.push_back(static_cast<std::int32_t>(random.below(data.classes)));
    targets_.assign(labels_.begin(), labels_.end());
    feed_ = {count, inputs_, labels_.data(), keys_, 0};
    if (loss.kind == Kind::sigmoid_cross_entropy) feed_.labels = targets_.data();
  }
  const Feed& feed(std::uint64_t step) {
    feed_.step = step;
    return feed_;
  }

 private:
  std::vector<std::vector<float>> reals_;
  std::vector<std::vector<std::int32_t>> wholes_;
  std::vector<const void*> inputs_;
  std::vector<std::uint64_t> keys_;
  std::vector<std::int32_t> labels_;
  std::vector<float> targets_;
  Feed feed_;
};

struct PresetCase {
  std::string name;
  DataShape data;
  float rate = 0;
  std::uint64_t steps = 0;
  config::PresetOptions (*smaller)(config::PresetOptions) = nullptr;
};

struct PresetOutcome {
  double first = 0, last = 0;  // losses a sample of the first step and of the last
  int overflows = 0;           // steps that were left out
};

/// SGD with momentum on one batch. Requires that memory is planned well, and that steps allocate none.
inline PresetOutcome train_preset(const PresetCase& preset, NetworkOptions options) {
  config::PresetOptions chosen = config::find_preset(preset.name)->defaults;
  if (preset.smaller != nullptr) chosen = preset.smaller(chosen);
  chosen.dropout = 0;
  const std::uint32_t count = options.batch_max;
  auto made = preset_model(preset.name, chosen, preset.data, count);
  if (!made) FAIL(made.error().message);
  PresetBatch batch(made->model, made->loss, preset.data, count);
  options.loss = made->loss;
  auto network = Network::build(std::move(made->model), options);
  if (!network) FAIL(network.error().message);
  for (const bool training : {true, false}) {
    const Program& program = (*network)->program(training);
    CHECK(static_cast<double>(program.arena_bytes()) <= 1.05 * static_cast<double>(program.live_bytes()));
  }
  PresetOutcome outcome;
  std::vector<float> speed((*network)->values().size(), 0.0f);
  for (std::uint64_t step = 1; step <= preset.steps; ++step) {
    const std::size_t allocated = allocations();
    const StepResult result = (*network)->train_step(batch.feed(step), nullptr);
    if (step > 2) CHECK(allocations() == allocated);
    outcome.last = result.loss_sum / count;
    if (step == 1) outcome.first = outcome.last;
    if (result.overflow) {
      ++outcome.overflows;
      continue;
    }
    for (const TensorInfo& tensor : (*network)->tensors()) {
      for (std::size_t i = tensor.offset; i < tensor.offset + tensor.length; ++i) {
        const float mean = (*network)->gradients()[i] / static_cast<float>(count);
        float& value = (*network)->values()[i];
        if (tensor.kind == TensorKind::buffer) {
          value = mean;
        } else {
          speed[i] = 0.9f * speed[i] + mean;
          value -= preset.rate * speed[i];
        }
      }
    }
  }
  return outcome;
}

}  // namespace trainyard::graph::test
