// What is said about a network: its work and memory, where its time goes, its drawing, and where a number
// that is not finite comes from.
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "common/config/presets.hpp"
#include "common/graph/draw/draw.hpp"
#include "common/graph/draw/layout.hpp"
#include "common/graph/finite.hpp"
#include "common/graph/inspect.hpp"
#include "common/graph/presets.hpp"
#include "common/graph/profile.hpp"
#include "tests/unit/graph/networks.hpp"

namespace trainyard::graph::test {

namespace {

constexpr InputShape shape{3, 12, 11};

Model preset(const std::string& name, InputShape image, std::uint32_t classes) {
  auto made =
      preset_model(name, config::find_preset(name)->defaults, {.image = image, .classes = classes}, 4);
  if (!made) FAIL(made.error().message);
  return std::move(made->model);
}

config::ModelSection placed(config::ModelSection section) {
  int line = 10;
  for (config::Layer& layer : section.layers) {
    layer.line = line++;
    layer.column = 5;
  }
  return section;
}

std::unique_ptr<Network> build(const config::ModelSection& section) {
  auto network = Network::build(placed(section), shape, 3, {.batch_max = 6, .seed = 11});
  if (!network) FAIL(network.error().message);
  return std::move(*network);
}

std::string cause(Network& network, const Batch& batch) {
  const void* const inputs[] = {batch.images.data()};
  return not_finite_cause(network, {6, inputs, batch.labels.data(), batch.keys, 1}).text;
}

}  // namespace

TEST_CASE("multiply-adds are those that the papers count", "[inspect]") {
  // Torchvision's pages give 1.81, 15.47, 4.09, 0.30 and 0.35 billion.
  CHECK(inspect(preset("resnet18", {3, 224, 224}, 1000)).all.work.multiply_adds ==
        Approx(1.814e9).epsilon(1e-3));
  CHECK(inspect(preset("vgg16", {3, 224, 224}, 1000)).all.work.multiply_adds ==
        Approx(15.47e9).epsilon(1e-3));
  CHECK(inspect(preset("resnet50", {3, 224, 224}, 1000)).all.work.multiply_adds ==
        Approx(4.089e9).epsilon(1e-3));
  CHECK(inspect(preset("mobilenet_v2", {3, 224, 224}, 1000)).all.work.multiply_adds ==
        Approx(0.3007e9).epsilon(1e-3));
  CHECK(inspect(preset("squeezenet_1_1", {3, 224, 224}, 1000)).all.work.multiply_adds ==
        Approx(0.349e9).epsilon(3e-3));
}

TEST_CASE("an inspection has a row a layer, sums and plans of memory", "[inspect]") {
  const auto model = model_of(photo_net(), shape, 3, 6);
  REQUIRE(model.has_value());
  const Inspection seen = inspect(*model, {}, 6);
  REQUIRE(seen.layers.size() == photo_net().layers.size());
  CHECK(seen.layers[0].kind == "conv2d");
  CHECK(seen.layers[0].result == "[N, 8, 6, 6]");
  CHECK(seen.layers[0].parameters == 8 * 3 * 5 * 5);
  CHECK(seen.layers[0].work.multiply_adds == 8 * 6 * 6 * 3 * 5 * 5);
  CHECK(seen.layers[1].buffers == 16);
  CHECK(seen.all.parameters + seen.all.buffers == model->length);
  REQUIRE(seen.training.has_value());
  REQUIRE(seen.prediction.has_value());
  CHECK(seen.training->arena >= seen.training->bound);
  CHECK(seen.training->bound > seen.prediction->bound);
  const std::string text = inspection_text(seen);
  CHECK_THAT(text, Catch::Contains("dense1") && Catch::Contains("lower bound"));
  const Json json = inspection_json(seen);
  CHECK(json["layers"][0]["output"] == "[N, 8, 6, 6]");
  CHECK(json["total"]["parameters"] == seen.all.parameters);
  CHECK(json["memory"]["training"]["arena_bytes"] == seen.training->arena);
}

TEST_CASE("a profile counts every operator of the steps that it saw", "[profile]") {
  const auto network = build(photo_net());
  const Batch batch = batch_of(6, shape, 5);
  const void* const inputs[] = {batch.images.data()};
  const Feed feed{6, inputs, batch.labels.data(), batch.keys, 1};
  const Program& program = network->program(true);
  Profiler profiler(program, network->model().graph.origins);
  CHECK(profiler.runs() == 0);
  for (int step = 0; step < 3; ++step) (void)network->train_step(feed, &profiler);
  profiler.span("step 3", Time{}, Time{} + 1ms);
  CHECK(profiler.runs() == 3);
  const std::string table = profiler.table();
  CHECK_THAT(table, Catch::Contains("3 steps of batch 6") && Catch::Contains("conv2d_grad_weights") &&
                        Catch::Contains("softmax_cross_entropy") && Catch::Contains("dense1"));
  const auto trace = parse_json(profiler.trace(4));
  REQUIRE(trace.has_value());
  std::size_t operators = 0, steps = 0;
  for (const Json& event : (*trace)["traceEvents"]) {
    if (event["ph"] != "X") continue;
    CHECK(event["pid"] == 4);
    CHECK(event["dur"].get<double>() >= 0);
    CHECK(event["ts"].get<double>() >= 0);
    event["tid"] == 0 ? ++steps : ++operators;
  }
  CHECK(operators == 3 * program.steps().size());
  CHECK(steps == 1);
}

TEST_CASE("what is not finite is found wherever it comes from", "[finite]") {
  std::vector<float> values(1001, 1.5f);
  CHECK(all_finite(values));
  values[1000] = -std::numeric_limits<float>::infinity();
  CHECK_FALSE(all_finite(values));
  values[1000] = std::numeric_limits<float>::max();
  values[3] = std::numeric_limits<float>::quiet_NaN();
  CHECK_FALSE(all_finite(values));

  const auto network = build(mlp());
  Batch batch = batch_of(6, shape, 5);
  CHECK_THAT(cause(*network, batch), Catch::Contains("did not happen again"));

  batch.images[7] = std::numeric_limits<float>::quiet_NaN();
  CHECK(cause(*network, batch) == "the data are not finite: not-a-number in 1 of 2376 values of 'input'");
  batch.images[7] = 0;

  const float kept = network->values()[5];
  network->values()[5] = std::numeric_limits<float>::infinity();
  CHECK(cause(*network, batch) ==
        "'dense1.weight' is not finite any more after the update before: infinity in 1 of 6732 values");
  network->values()[5] = kept;

  // Finite values whose product is not.
  for (float& value : network->values()) value *= 1e30f;
  CHECK_THAT(cause(*network, batch),
             Catch::StartsWith("the first infinity comes from dense of model.layers[") ||
                 Catch::StartsWith("the first not-a-number comes from dense of model.layers["));
}

TEST_CASE("the operator of a backward pass is named too", "[finite]") {
  // The forward pass stays small: the first layer gives zeros, and its gradient meets huge values.
  const auto network = build({{plain(LayerKind::flatten), dense(4), plain(LayerKind::tanh), dense(3)}});
  Batch batch = batch_of(6, shape, 5);
  for (const TensorInfo& tensor : network->tensors()) {
    const auto values = network->values().subspan(tensor.offset, tensor.length);
    if (tensor.name == "dense1.weight") std::ranges::fill(values, 0.0f);
    if (tensor.name == "dense2.weight")
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = i < 4 ? 3e38f : -3e38f;
  }
  for (float& pixel : batch.images) pixel = 10;
  const std::string found = cause(*network, batch);
  CHECK_THAT(found, Catch::Contains("_grad") && Catch::Contains("model.layers["));
}

TEST_CASE("a drawing has every layer once, and frames around blocks", "[draw]") {
  const Model model = preset("resnet18", {3, 64, 64}, 10);
  const std::string svg = to_svg(model, "resnet18 & co");
  CHECK_THAT(svg, Catch::StartsWith("<svg ") && Catch::EndsWith("</svg>\n") &&
                      Catch::Contains("resnet18 &amp; co") && Catch::Contains("layer4.1.conv2"));
  const auto count = [](const std::string& text, const std::string& word) {
    std::size_t found = 0;
    for (std::size_t at = 0; (at = text.find(word, at)) != std::string::npos; ++at) ++found;
    return found;
  };
  CHECK(count(svg, "class=\"linear\"") == 21);  // 20 convolutions, 1 dense
  CHECK(count(svg, "class=\"merge\"") == 8);
  CHECK(count(svg, "class=\"frame\"") == 8);
  const std::string dot = to_dot(model, "resnet18");
  CHECK_THAT(dot, Catch::StartsWith("digraph \"resnet18\" {"));
  CHECK(count(dot, "subgraph cluster_") == 8);
}

TEST_CASE("boxes of one layer do not touch, and arrows leave and arrive at boxes", "[draw]") {
  // A ladder with a long way around it.
  const std::vector<BoxSize> boxes{{80, 20}, {60, 30}, {120, 30}, {60, 30}, {80, 20}, {50, 20}};
  const std::vector<Arrow> arrows{{0, 1}, {0, 2}, {0, 3}, {1, 4}, {2, 4}, {3, 4}, {4, 5}, {0, 5}};
  const Layout layout = layered_layout(boxes, arrows);
  for (std::size_t a = 0; a < boxes.size(); ++a) {
    CHECK(layout.centers[a].x - boxes[a].width / 2 >= 0);
    CHECK(layout.centers[a].x + boxes[a].width / 2 <= layout.width);
    CHECK(layout.centers[a].y + boxes[a].height / 2 <= layout.height);
    for (std::size_t b = a + 1; b < boxes.size(); ++b) {
      const bool beside =
          std::abs(layout.centers[a].x - layout.centers[b].x) >= (boxes[a].width + boxes[b].width) / 2;
      const bool below =
          std::abs(layout.centers[a].y - layout.centers[b].y) >= (boxes[a].height + boxes[b].height) / 2;
      CHECK((beside || below));
    }
  }
  for (std::size_t i = 0; i < arrows.size(); ++i) {
    const auto& route = layout.routes[i];
    CHECK(route.front().y == Approx(layout.centers[arrows[i].from].y + boxes[arrows[i].from].height / 2));
    CHECK(route.back().y == Approx(layout.centers[arrows[i].to].y - boxes[arrows[i].to].height / 2));
    for (std::size_t k = 1; k < route.size(); ++k) CHECK(route[k].y >= route[k - 1].y);
  }
}

}  // namespace trainyard::graph::test
