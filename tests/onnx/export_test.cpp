// A model that is exported and imported again gives the same numbers, at every batch.
#include <catch2/catch.hpp>

#include "common/config/presets.hpp"
#include "common/graph/presets.hpp"
#include "tests/onnx/models.hpp"
#include "tests/onnx/runner.hpp"

namespace trainyard::graph::test {
namespace {

std::vector<Constant> random_inputs(const Example& example, std::int64_t batch) {
  Random random(static_cast<std::uint64_t>(batch));
  std::vector<Constant> out;
  for (const Shape& shape : example.inputs) {
    Numbers x{shape.with_batch(batch).dims(), {}};
    for (std::int64_t i = 0; i < Shape(x.dims).elements(); ++i) x.values.push_back(random.uniform(-0.9, 0.9));
    out.push_back(constant_of(x, DType::f32));
  }
  return out;
}

/// Numbers that fit an input of a preset: whole ones from 1 to below `below`.
Constant input_of(const External& external, std::int64_t batch, std::uint64_t below) {
  Random random(11);
  Numbers x{external.of.shape.with_batch(batch).dims(), {}};
  const bool real = external.of.type == DType::f32;
  for (std::int64_t i = 0; i < Shape(x.dims).elements(); ++i)
    x.values.push_back(real ? random.uniform(-1, 1) : 1 + static_cast<double>(random.below(below - 1)));
  return constant_of(x, external.of.type);
}

DataShape data_of(config::PresetInput input) {
  if (input == config::PresetInput::image) return {.image = {3, 64, 64}, .classes = 5};
  if (input == config::PresetInput::text) return {.steps = 9, .vocabulary = 30, .classes = 4};
  return {.vocabulary = 30, .numbers = 3, .categories = 4, .classes = 3};
}

}  // namespace

TEST_CASE("import of an export gives the same numbers, whatever the batch", "[onnx]") {
  const auto backend = ops::reference_backend<float>();
  for (const Example& example : examples()) {
    CAPTURE(example.name);
    const auto file = export_onnx(example.model, example.model.given);
    REQUIRE((file ? "" : file.error().message) == std::string());
    const auto again = import_onnx(*file);
    REQUIRE((again ? "" : again.error().message) == std::string());
    for (const std::int64_t batch : {1, 3}) {
      const auto inputs = random_inputs(example, batch);
      const auto first = run(example.model, inputs, *backend), second = run(*again, inputs, *backend);
      REQUIRE((first ? "" : first.error().message) == std::string());
      REQUIRE((second ? "" : second.error().message) == std::string());
      REQUIRE(first->size() == second->size());
      for (std::size_t i = 0; i < first->size(); ++i) {
        CAPTURE(batch, i);
        CHECK(difference((*second)[i], (*first)[i], 1e-6, 1e-6).value_or("") == "");
      }
    }
  }
}

TEST_CASE("every preset comes back from its export", "[onnx]") {
  const auto backend = ops::cpu_backend();
  for (const std::string& name : config::preset_names()) {
    const bool large =
        name.starts_with("vgg") || name == "alexnet" || name == "inception_v3" || name == "resnet50";
    if (large) continue;
    CAPTURE(name);
    const auto* info = config::find_preset(name);
    auto made = preset_model(name, info->defaults, data_of(info->input), 2);
    REQUIRE((made ? "" : made.error().message) == std::string());
    const Model& model = made->model;
    std::vector<float> values;
    draw_initial(model, 3, values);
    const auto file = export_onnx(model, values);
    REQUIRE((file ? "" : file.error().message) == std::string());
    if (name == "fasttext") continue;  // import refuses to look along the batch
    const auto again = import_onnx(*file);
    REQUIRE((again ? "" : again.error().message) == std::string());
    CHECK(again->tensors.size() == model.tensors.size());
    std::vector<Constant> inputs;
    for (const External& external : model.graph.externals)
      inputs.push_back(input_of(external, 2, external.name == "lengths" ? 9 : 30));
    const auto first = run(model, values, inputs, *backend);
    const auto second = run(*again, again->given, inputs, *backend);
    REQUIRE((first ? "" : first.error().message) == std::string());
    REQUIRE((second ? "" : second.error().message) == std::string());
    for (std::size_t i = 0; i < first->size(); ++i)
      CHECK(difference((*second)[i], (*first)[i], 1e-4, 1e-5).value_or("") == "");
  }
}

TEST_CASE("an export keeps the names and values of tensors, inputs and results", "[onnx]") {
  Builder builder(4);
  const ValueId x = builder.input("pixels", Signature({tensor::kBatch, 4}));
  const auto w = builder.parameter("fc.weight", {3, 4}, TensorKind::weight, Init::given);
  REQUIRE(w.has_value());
  const auto y = builder.add(Kind::dense, {.axis = 1}, {x, *w});
  REQUIRE(y.has_value());
  Model model = std::move(builder).finish({*y});
  model.result_names = {"scores"};
  model.given = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const auto file = export_onnx(model, model.given);
  REQUIRE(file.has_value());
  const auto again = import_onnx(*file);
  REQUIRE(again.has_value());
  CHECK(again->graph.externals[0].name == "pixels");
  CHECK(again->graph.externals[0].of.shape == Shape{tensor::kBatch, 4});
  CHECK(again->result_names == std::vector<std::string>{"scores"});
  REQUIRE(again->tensors.size() == 1);
  CHECK(again->tensors[0].name == "fc.weight");
  CHECK(again->tensors[0].shape == std::vector<std::int64_t>{3, 4});
  CHECK(again->given == model.given);
}

TEST_CASE("what has no counterpart in ONNX is refused, naming the layer", "[onnx]") {
  Builder builder(4);
  builder.origin("crf", "model.layers[0]");
  const ValueId scores = builder.input("scores", Signature({tensor::kBatch, 7, 5}));
  const auto moves = builder.parameter("moves", {7, 7}, TensorKind::weight, Init::zero);
  REQUIRE(moves.has_value());
  const auto y = builder.add(Kind::viterbi, {}, {scores, *moves});
  REQUIRE(y.has_value());
  const Model model = std::move(builder).finish({*y});
  const auto file = export_onnx(model, std::vector<float>(49));
  REQUIRE_FALSE(file.has_value());
  CHECK(file.error().message == "model.layers[0]: viterbi has no counterpart in ONNX");
}

}  // namespace trainyard::graph::test
