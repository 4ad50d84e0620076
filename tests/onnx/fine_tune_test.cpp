// Another head on an imported network, and tensors that stay as they are.
#include <catch2/catch.hpp>

#include "common/base/random.hpp"
#include "common/graph/fine_tune.hpp"
#include "common/graph/network.hpp"
#include "tests/onnx/file.hpp"
#include "tests/onnx/runner.hpp"

namespace trainyard::graph::test {
namespace {

std::vector<float> numbers(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> out(count);
  for (float& value : out) value = static_cast<float>(random.uniform(-0.5, 0.5));
  return out;
}

/// Two convolutions, the first one normalized, and a classifier of ten classes; or a third convolution as
/// that.
Model backbone(bool convolutional = false) {
  File file;
  file.input("image", {"N", "3", "8", "8"}).output("scores");
  file.floats("stem.w", {6, 3, 3, 3}, numbers(162, 1)).floats("stem.scale", {6}, {1, 1, 1, 1, 1, 1});
  file.floats("stem.shift", {6}, numbers(6, 2)).floats("stem.mean", {6}, numbers(6, 3));
  file.floats("stem.var", {6}, {1, 2, 3, 1, 2, 3}).floats("body.w", {5, 6, 3, 3}, numbers(270, 4));
  file.node("Conv", {"image", "stem.w"}, {"c1"});
  file.node("BatchNormalization", {"c1", "stem.scale", "stem.shift", "stem.mean", "stem.var"}, {"n1"});
  file.node("Relu", {"n1"}, {"r1"});
  file.node("Conv", {"r1", "body.w"}, {"c2"});
  file.node("Relu", {"c2"}, {"map"});
  if (convolutional) {
    file.floats("top.w", {10, 5, 1, 1}, numbers(50, 5));
    file.node("Conv", {"map", "top.w"}, {"c3"});
    file.node("Relu", {"c3"}, {"r3"});
    file.node("GlobalAveragePool", {"r3"}, {"g"});
    file.node("Flatten", {"g"}, {"scores"});
  } else {
    file.floats("top.w", {5, 10}, numbers(50, 5)).floats("top.b", {10}, numbers(10, 6));
    file.node("GlobalAveragePool", {"map"}, {"g"});
    file.node("Flatten", {"g"}, {"features"});
    file.node("Gemm", {"features", "top.w", "top.b"}, {"scores"});
  }
  auto model = import_onnx(file.bytes());
  if (!model) FAIL(model.error().message);
  return std::move(*model);
}

std::vector<std::string> names(const Model& model) {
  std::vector<std::string> out;
  for (const TensorInfo& tensor : model.tensors) out.push_back(tensor.name);
  return out;
}

}  // namespace

TEST_CASE("a head replaces the last dense layer, and the rest keeps its values", "[onnx]") {
  const Model before = backbone();
  const auto after = replace_head(before, {.classes = 4}, 8);
  REQUIRE(after.has_value());
  CHECK(names(*after) == Names{"stem.w", "stem.scale", "stem.shift", "stem.mean", "stem.var", "body.w",
                               "head.weight", "head.bias"});
  CHECK(after->graph.shape(after->graph.results[0]) == Shape{tensor::kBatch, 4});
  CHECK(after->length == before.length - 60 + 24);
  std::vector<float> old_values, new_values;
  draw_initial(before, 1, old_values);
  draw_initial(*after, 1, new_values);
  const std::size_t kept = before.length - 60;
  CHECK(std::equal(new_values.begin(), new_values.begin() + static_cast<std::ptrdiff_t>(kept),
                   old_values.begin()));
  CHECK(std::any_of(new_values.end() - 24, new_values.end() - 4, [](float value) { return value != 0; }));
}

TEST_CASE("a head replaces a convolution at the end, behind an average over its pixels", "[onnx]") {
  const auto after = replace_head(backbone(true), {.classes = 4}, 8);
  REQUIRE(after.has_value());
  CHECK(after->graph.nodes[after->graph.nodes.size() - 2].kind == Kind::avg_pool);
  CHECK(after->tensors.back().name == "head.bias");
  CHECK(after->graph.shape(after->graph.results[0]) == Shape{tensor::kBatch, 4});
}

TEST_CASE("a head goes behind a value by its name, and what lies behind it is gone", "[onnx]") {
  const auto after = replace_head(backbone(), {.after = "r1", .classes = 2}, 8);
  REQUIRE(after.has_value());
  CHECK(names(*after) ==
        Names{"stem.w", "stem.scale", "stem.shift", "stem.mean", "stem.var", "head.weight", "head.bias"});
  CHECK(after->tensors[5].shape == std::vector<std::int64_t>{2, 6});
  CHECK(head_places(*after).front() == "c1");
  CHECK(head_places(*after).back() == "r1");
  // A second head on a model with one.
  const auto again = replace_head(*after, {.classes = 3}, 8);
  REQUIRE(again.has_value());
  CHECK(again->tensors[5].shape == std::vector<std::int64_t>{3, 6});
}

TEST_CASE("a place that is not there is refused with the nearest name", "[onnx]") {
  const auto wrong = replace_head(backbone(), {.after = "featurs", .classes = 2}, 8);
  REQUIRE_FALSE(wrong.has_value());
  CHECK(wrong.error().code == Errc::not_found);
  CHECK(wrong.error().message == "the model has no value 'featurs'; did you mean 'features'?");
  CHECK(replace_head(backbone(), {.after = "features", .classes = 0}, 8).error().message ==
        "a head has at least one class");
}

TEST_CASE("frozen tensors get no gradient, a frozen normalization keeps its statistics, and the head learns",
          "[onnx]") {
  auto model = replace_head(backbone(), {.classes = 3}, 6);
  REQUIRE(model.has_value());
  const std::vector<std::string> patterns{"stem.*", "b?dy.w"};
  REQUIRE(freeze_tensors(*model, patterns).has_value());
  CHECK(model->graph.nodes[1].attributes.frozen);
  auto network = Network::build(*model, {.batch_max = 6});
  if (!network) FAIL(network.error().message);
  const auto images = numbers(6 * 3 * 64, 9);
  const std::vector<std::int32_t> labels{0, 1, 2, 0, 1, 2};
  const std::vector<std::uint64_t> keys{1, 2, 3, 4, 5, 6};
  double first = 0, last = 0;
  for (int step = 0; step < 60; ++step) {
    const StepResult result = (*network)->train_step(images, labels, keys, static_cast<std::uint64_t>(step));
    (step == 0 ? first : last) = result.loss_sum;
    const auto gradients = (*network)->gradients();
    for (const TensorInfo& tensor : (*network)->tensors()) {
      const auto part = gradients.subspan(tensor.offset, tensor.length);
      const bool flat = std::all_of(part.begin(), part.end(), [](float g) { return g == 0; });
      CAPTURE(tensor.name);
      REQUIRE(flat == !tensor.name.starts_with("head."));
      for (std::size_t i = 0; i < tensor.length; ++i)
        (*network)->values()[tensor.offset + i] -= 0.3f * part[i];
    }
  }
  CHECK(last < first);
}

TEST_CASE("the statistics of a frozen normalization count as frozen, named or not", "[onnx]") {
  Model model = backbone();
  const auto all = names(model);
  std::vector<bool> frozen(all.size(), false);
  const auto at = [&](const char* name) {
    return static_cast<std::size_t>(std::find(all.begin(), all.end(), name) - all.begin());
  };
  frozen[at("stem.scale")] = true;
  CHECK(freeze_tensors(model, frozen) == frozen);  // its shift goes on
  CHECK_FALSE(model.graph.nodes[1].attributes.frozen);
  frozen[at("stem.shift")] = true;
  auto expected = frozen;
  expected[at("stem.mean")] = expected[at("stem.var")] = true;
  CHECK(freeze_tensors(model, frozen) == expected);
  CHECK(model.graph.nodes[1].attributes.frozen);
}

TEST_CASE("what is frozen costs no backward step", "[onnx]") {
  const auto steps = [](bool frozen) {
    auto model = replace_head(backbone(), {.classes = 3}, 6);
    REQUIRE(model.has_value());
    const std::vector<std::string> patterns{"stem.*", "body.*"};
    if (frozen) REQUIRE(freeze_tensors(*model, patterns).has_value());
    auto network = Network::build(*model, {.batch_max = 6});
    REQUIRE(network.has_value());
    std::vector<Kind> kinds;
    for (const auto& step : (*network)->program(true).steps()) kinds.push_back(step.kind);
    return kinds;
  };
  const auto count = [](const std::vector<Kind>& kinds, Kind kind) {
    return std::count(kinds.begin(), kinds.end(), kind);
  };
  const auto all = steps(false), head = steps(true);
  CHECK(count(all, Kind::conv2d_grad_weights) == 2);
  CHECK(count(all, Kind::batch_norm_training) == 1);
  for (const Kind kind : {Kind::conv2d_grad_weights, Kind::conv2d_grad_data, Kind::batch_norm_training,
                          Kind::batch_norm_grad, Kind::dense_grad_data})
    CHECK(count(head, kind) == 0);
  CHECK(count(head, Kind::dense_grad_weights) == 1);
}

TEST_CASE("a pattern that matches no tensor is refused with the nearest name", "[onnx]") {
  Model model = backbone();
  const std::vector<std::string> patterns{"stem.ww"};
  const Status done = freeze_tensors(model, patterns);
  REQUIRE_FALSE(done.has_value());
  CHECK(done.error().message == "no tensor of the model matches 'stem.ww'; did you mean 'stem.w'?");
}

TEST_CASE("patterns match whole names", "[onnx]") {
  CHECK(matches("*", ""));
  CHECK(matches("conv*.weight", "conv12.weight"));
  CHECK(matches("*.w*t", "a.b.weight"));
  CHECK(matches("c?nv", "conv"));
  CHECK_FALSE(matches("conv", "conv1"));
  CHECK_FALSE(matches("conv?", "conv"));
  CHECK_FALSE(matches("", "a"));
  CHECK_FALSE(matches("*a*a*a*a*b", std::string(60, 'a')));
}

}  // namespace trainyard::graph::test
