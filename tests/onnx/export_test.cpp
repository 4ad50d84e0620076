// A model that is exported and imported again gives the same numbers, at every batch.
#include <catch2/catch.hpp>

#include "tests/onnx/models.hpp"
#include "tests/onnx/presets.hpp"
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
  for (const std::string& name : small_presets()) {
    CAPTURE(name);
    const auto preset = preset_of(name, 2);
    REQUIRE((preset ? "" : preset.error().message) == std::string());
    const auto file = export_onnx(preset->model, preset->values);
    REQUIRE((file ? "" : file.error().message) == std::string());
    const auto again = import_onnx(*file);
    REQUIRE((again ? "" : again.error().message) == std::string());
    CHECK(again->tensors.size() == preset->model.tensors.size());
    const auto first = run(preset->model, preset->values, preset->inputs, *backend);
    const auto second = run(*again, again->given, preset->inputs, *backend);
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
