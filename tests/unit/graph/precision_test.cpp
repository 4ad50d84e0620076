// Trainings in 16 bits: they learn what fp32 learns, and fp16 finds the scale of its loss.
#include <algorithm>
#include <cmath>

#include "common/graph/finite.hpp"
#include "common/graph/inspect.hpp"
#include "common/graph/loss_scale.hpp"
#include "common/graph/narrow.hpp"
#include "common/graph/prepare.hpp"
#include "tests/unit/graph/networks.hpp"
#include "tests/unit/graph/preset_training.hpp"

namespace trainyard::graph::test {

namespace {

using config::Precision;
constexpr std::uint32_t count = 16;
constexpr InputShape shape{3, 12, 11};

std::unique_ptr<Network> network_of(const config::ModelSection& section, Precision precision,
                                    bool training = true) {
  auto network =
      Network::build(section, shape, 3, {.batch_max = count, .training = training, .precision = precision});
  if (!network) FAIL(network.error().message);
  return std::move(*network);
}

StepResult step_of(Network& network, const Batch& batch, std::uint64_t step) {
  return network.train_step(batch.images, batch.labels, batch.keys, step);
}

/// The difference of two vectors over the length of the second.
double relative(std::span<const float> actual, std::span<const float> expected) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(static_cast<double>(actual[i]) - expected[i], 2);
    norm += std::pow(static_cast<double>(expected[i]), 2);
  }
  return std::sqrt(difference / norm);
}

std::vector<float> copy(std::span<const float> values) { return {values.begin(), values.end()}; }

std::size_t count_of(const Graph& graph, Kind kind) {
  return static_cast<std::size_t>(std::count_if(graph.nodes.begin(), graph.nodes.end(),
                                                [&](const Node& node) { return node.kind == kind; }));
}

}  // namespace

TEST_CASE("16 bits reach the loss of fp32", "[precision]") {
  const auto small = [](config::PresetOptions options) {
    options.hidden = {64, 32};
    options.embedding = 16;
    options.units = 12;
    return options;
  };
  const auto images = [](std::int64_t channels, std::int64_t side) {
    return DataShape{.image = {channels, side, side}, .classes = 4};
  };
  const DataShape text{.steps = 9, .vocabulary = 40, .classes = 3};
  const PresetCase cases[] = {{"mlp", images(1, 16), 0.02f, 20, small},
                              {"lenet5", images(1, 28), 0.05f, 40},
                              {"bilstm", text, 0.3f, 60, small},
                              {"bilstm_crf", text, 0.05f, 60, small},
                              {"transformer_encoder", text, 0.05f, 40, small}};
  for (const PresetCase& at : cases) {
    const PresetOutcome wide = train_preset(at, {.batch_max = 6, .seed = 6});
    REQUIRE(wide.last < 0.8 * wide.first);
    for (const Precision precision : {Precision::bf16, Precision::fp16}) {
      const PresetOutcome narrow = train_preset(at, {.batch_max = 6, .seed = 6, .precision = precision});
      INFO(at.name << " in precision " << static_cast<int>(precision) << ": " << narrow.first << " falls to "
                   << narrow.last << ", in fp32 " << wide.first << " to " << wide.last << "; overflows "
                   << narrow.overflows);
      CHECK(narrow.first == Approx(wide.first).epsilon(0.02));
      // Of what fp32 took off the loss, this takes nine tenths at least.
      CHECK(wide.first - narrow.last > 0.9 * (wide.first - wide.last));
      CHECK(narrow.overflows <= 3);
    }
  }
}

TEST_CASE("gradients in 16 bits are those of fp32 but for their rounding", "[precision]") {
  const Batch batch = batch_of(count, shape, 9);
  for (const config::ModelSection& section : {mlp(), photo_net()}) {
    const auto wide = network_of(section, Precision::fp32);
    (void)step_of(*wide, batch, 1);
    for (const auto& [precision, bits] : {std::pair{Precision::bf16, 8}, {Precision::fp16, 11}}) {
      const auto narrow = network_of(section, precision);
      const StepResult result = step_of(*narrow, batch, 1);
      CHECK_FALSE(result.overflow);
      CHECK(result.loss_scale == (precision == Precision::fp16 ? LossScale::kFirst : 1.0f));
      const double difference = relative(narrow->gradients(), wide->gradients());
      INFO("relative difference " << difference << " with " << bits << " bits");
      CHECK(difference > 0);  // something was rounded
      CHECK(difference < 16 * std::ldexp(1.0, -bits));
    }
  }
}

TEST_CASE("running statistics come out of fp16 without the scale of the loss", "[precision]") {
  const Batch batch = batch_of(count, shape, 3);
  const auto wide = network_of(photo_net(), Precision::fp32),
             narrow = network_of(photo_net(), Precision::fp16);
  (void)step_of(*wide, batch, 1);
  (void)step_of(*narrow, batch, 1);
  std::size_t buffers = 0;
  for (const TensorInfo& tensor : wide->tensors()) {
    if (tensor.kind != TensorKind::buffer) continue;
    ++buffers;
    CHECK(relative(narrow->gradients().subspan(tensor.offset, tensor.length),
                   wide->gradients().subspan(tensor.offset, tensor.length)) < 0.01);
  }
  CHECK(buffers == 4);
}

TEST_CASE("rows of a table's gradient come out of fp16 without the scale of the loss", "[precision]") {
  const DataShape text{.steps = 9, .vocabulary = 40, .classes = 3};
  std::vector<std::vector<float>> rows;
  for (const Precision precision : {Precision::fp32, Precision::fp16}) {
    auto made = preset_model("fasttext", config::find_preset("fasttext")->defaults, text, count);
    REQUIRE(made.has_value());
    PresetBatch batch(made->model, made->loss, text, count);
    auto network = Network::build(std::move(made->model), {.batch_max = count,
                                                           .loss = made->loss,
                                                           .row_gradients = RowGradients::rows,
                                                           .precision = precision});
    REQUIRE(network.has_value());
    (void)(*network)->train_step(batch.feed(1), nullptr);
    REQUIRE((*network)->row_gradients().size() == 1);
    rows.push_back(copy((*network)->row_gradients()[0].rows));
  }
  CHECK(relative(rows[1], rows[0]) < 0.01);
}

TEST_CASE("fp16 leaves out steps that overflow, halves the scale, and goes on", "[precision]") {
  const auto network = network_of(mlp(), Precision::fp16);
  for (const TensorInfo& tensor : network->tensors())  // steep: gradients grow on their way to the front
    if (tensor.kind == TensorKind::weight)
      for (std::size_t i = 0; i < tensor.length; ++i) network->values()[tensor.offset + i] *= 40;
  int overflows = 0, clean = 0;
  float scale = LossScale::kFirst;
  for (std::uint64_t step = 1; step <= 20; ++step) {
    const std::vector<float> before = copy(network->values());
    const StepResult result = step_of(*network, batch_of(count, shape, step), step);
    REQUIRE(result.finite);
    CHECK(result.loss_scale == scale);
    CHECK(result.overflow == !all_finite(network->gradients()));
    CHECK(copy(network->values()) == before);
    if (result.overflow) scale /= 2;
    ++(result.overflow ? overflows : clean);
  }
  CHECK(overflows > 0);
  CHECK(clean > 5);
}

TEST_CASE("an infinity of the data is blamed on the scale until that is 1, and then on the data",
          "[precision]") {
  const auto network = network_of(mlp(), Precision::fp16);
  Batch batch = batch_of(count, shape, 1);
  batch.images[5] = HUGE_VALF;
  int overflows = 0;
  while (step_of(*network, batch, 1).overflow) REQUIRE(++overflows < 100);
  CHECK(overflows == 12);  // 4096 is the twelfth power of 2
  const void* const inputs[] = {batch.images.data()};
  const NotFinite found = not_finite_cause(*network, {count, inputs, batch.labels.data(), batch.keys, 1});
  CHECK(found.source == NotFinite::Source::data);
}

TEST_CASE("what overflows on its way into 16 bits is named", "[precision]") {
  const auto network = network_of(mlp(), Precision::fp16);
  Batch batch = batch_of(count, shape, 1);
  batch.images[5] = 1e6f;  // fp16 ends at 65504
  while (step_of(*network, batch, 1).overflow) continue;
  const void* const inputs[] = {batch.images.data()};
  const NotFinite found = not_finite_cause(*network, {count, inputs, batch.labels.data(), batch.keys, 1});
  CHECK(found.source == NotFinite::Source::operation);
  CHECK_THAT(found.text, Catch::Contains("the first infinity comes from cast"));
}

TEST_CASE("linear maps alone read 16 bits, and each value is cast once", "[precision]") {
  auto made = model_of(photo_net(), shape, 3, count);
  REQUIRE(made.has_value());
  const auto wide = graph_to_train(*made, {}, 7),
             narrow = graph_to_train(*made, {}, 7, {.narrow = {DType::bf16}});
  REQUIRE(narrow.has_value());
  CHECK(count_of(*wide, Kind::cast) == 0);
  // Two convolutions and a dense layer: their weights, what they read, and the gradients of their results.
  CHECK(count_of(*narrow, Kind::cast) == 3 * 3);
  CHECK(narrow->nodes.size() == wide->nodes.size() + 3 * 3);
  for (const Node& node : narrow->nodes)
    for (const ValueId id : node.inputs)
      if (id != kAbsent && narrow->signature(id).type == DType::bf16)
        CHECK((node.kind == Kind::conv2d || node.kind == Kind::conv2d_grad_data ||
               node.kind == Kind::conv2d_grad_weights || node.kind == Kind::dense ||
               node.kind == Kind::dense_grad_data || node.kind == Kind::dense_grad_weights));
  for (const Node& node : narrow->nodes)
    for (const ValueId id : node.outputs)
      if (node.kind != Kind::cast) CHECK(narrow->signature(id).type != DType::bf16);
}

TEST_CASE("memory is planned for a training as it will run", "[precision]") {
  auto made = preset_model("resnet20", config::find_preset("resnet20")->defaults,
                           {.image = {3, 32, 32}, .classes = 4}, count);
  REQUIRE(made.has_value());
  const auto arena = [&](const TrainingPasses& passes) {
    return static_cast<double>(inspect(made->model, made->loss, count, passes).training.value().arena);
  };
  // What the backward pass keeps is half as large; what lies between is not, and a processor without bf16
  // needs room to widen.
  CHECK(arena({.narrow = {DType::bf16}}) < 0.9 * arena({}));
  CHECK(arena({.low_memory = true}) < 0.7 * arena({}));
}

TEST_CASE("a prediction says so when fp16 is too small for it, also behind a rectifier", "[precision]") {
  Batch batch = batch_of(4, shape, 2);
  batch.images[5] = 1e5f;
  std::vector<float> out(4 * 3);
  const auto all_numbers = [&](Network& network) {
    network.predict(batch.images, 4, out);
    return all_finite(out);
  };
  for (const bool frozen : {false, true}) {
    for (const Precision precision : {Precision::fp32, Precision::bf16, Precision::fp16}) {
      CAPTURE(frozen, static_cast<int>(precision));
      const auto network = network_of(mlp(), precision, false);
      if (frozen) REQUIRE(network->freeze().has_value());
      batch.images[5] = 1e5f;
      CHECK(all_numbers(*network) == (precision != Precision::fp16));
      batch.images[5] = 1;
      CHECK(all_numbers(*network));
    }
  }
  const auto network = network_of(mlp(), Precision::fp16, false);
  network->values()[3] = 1e6f;
  const Status frozen = network->freeze();
  REQUIRE_FALSE(frozen.has_value());
  CHECK(frozen.error().message == "a weight is larger than fp16 holds; use bf16 or fp32");
}

TEST_CASE("on a device what lies between convolutions stays in 16 bits", "[precision]") {
  auto made = model_of(photo_net(), shape, 3, count);
  REQUIRE(made.has_value());
  const auto narrow = graph_to_train(*made, {}, 7, {.narrow = {DType::bf16, true}});
  REQUIRE(narrow.has_value());
  // The image, three weights, the way back into the dense layer and out of it, two gradients of weights.
  CHECK(count_of(*narrow, Kind::cast) == 8);
  for (const Node& node : narrow->nodes) {
    const DType first = narrow->signature(node.outputs[0]).type;
    INFO(ops::name_of(node.kind));
    switch (node.kind) {
      case Kind::conv2d:
      case Kind::conv2d_grad_data:
      case Kind::conv2d_grad_weights:
      case Kind::batch_norm_training:
      case Kind::batch_norm_grad:
      case Kind::max_pool:
      case Kind::max_pool_grad:
      case Kind::avg_pool:
      case Kind::avg_pool_grad:
        CHECK(first == DType::bf16);
        break;
      case Kind::dense:
      case Kind::dense_grad_data:
      case Kind::dense_grad_weights:
      case Kind::softmax_cross_entropy:
        CHECK(first == DType::f32);
        break;
      default:
        break;
    }
    for (std::size_t i = 0; i < node.outputs.size(); ++i)
      if (narrow->values[node.outputs[i]].place == Place::gradient)
        CHECK(narrow->signature(node.outputs[i]).type == DType::f32);
  }
  // Nothing reads a value that is made behind it.
  std::vector<bool> there(narrow->values.size());
  for (ValueId id = 0; id < there.size(); ++id)
    there[id] = narrow->values[id].place != Place::arena && narrow->values[id].place != Place::gradient;
  for (const Node& node : narrow->nodes) {
    for (const ValueId id : node.inputs) CHECK((id == kAbsent || there[id]));
    for (const ValueId id : node.outputs) there[id] = true;
  }
}

TEST_CASE("predictions in 16 bits are near those in fp32, frozen or not", "[precision]") {
  const Batch batch = batch_of(count, shape, 4);
  for (const config::ModelSection& section : {mlp(), photo_net()}) {
    std::vector<float> wide(count * 3);
    network_of(section, Precision::fp32, false)->predict(batch.images, count, wide);
    for (const auto& [precision, bits] : {std::pair{Precision::bf16, 8}, {Precision::fp16, 11}}) {
      std::vector<float> narrow(wide.size()), frozen(wide.size());
      const auto network = network_of(section, precision, false);
      network->predict(batch.images, count, narrow);
      REQUIRE(network->freeze());
      network->predict(batch.images, count, frozen);
      CHECK(relative(narrow, wide) > 0);
      CHECK(relative(narrow, wide) < 8 * std::ldexp(1.0, -bits));
      CHECK(relative(frozen, wide) < 8 * std::ldexp(1.0, -bits));
    }
  }
}

TEST_CASE("a network that trains in 16 bits predicts in fp32", "[precision]") {
  const Batch batch = batch_of(count, shape, 4);
  std::vector<float> wide(count * 3), narrow(wide.size());
  network_of(photo_net(), Precision::fp32)->predict(batch.images, count, wide);
  network_of(photo_net(), Precision::bf16)->predict(batch.images, count, narrow);
  CHECK(narrow == wide);
}

}  // namespace trainyard::graph::test
