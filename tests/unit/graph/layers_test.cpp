#include "common/graph/layers.hpp"

#include <catch2/catch.hpp>

#include "tests/unit/graph/networks.hpp"

namespace trainyard::graph::test {

namespace {

std::string problem(config::ModelSection model, InputShape input = {3, 32, 32}, std::uint32_t classes = 3,
                    std::uint32_t batch = 8) {
  int line = 10;
  for (config::Layer& layer : model.layers) {
    layer.line = line++;
    layer.column = 5;
  }
  const auto built = model_of(model, input, classes, batch);
  return built ? "" : built.error().message;
}

}  // namespace

TEST_CASE("shapes follow the layers, and tensors lie without gaps", "[graph]") {
  const auto model = model_of(photo_net(), {3, 33, 32}, 3, 8);
  REQUIRE(model.has_value());
  const auto output = [&](std::size_t node) {
    return model->graph.shape(model->graph.nodes[node].outputs[0]).text();
  };
  CHECK(output(0) == "[N, 8, 17, 16]");
  CHECK(output(3) == "[N, 8, 8, 8]");
  CHECK(model->graph.shape(model->graph.results[0]).text() == "[N, 3]");
  std::uint64_t at = 0;
  for (const TensorInfo& tensor : model->tensors) {
    CHECK(tensor.offset == at);
    at += tensor.length;
  }
  CHECK(at == model->length);
  CHECK(model->tensors.front().name == "conv1.weight");
  CHECK(model->tensors.back().name == "dense1.bias");
}

TEST_CASE("impossible models are refused with the layer and its place", "[graph]") {
  CHECK_THAT(problem({{plain(LayerKind::flatten), conv(8, 3), dense(3)}}),
             Catch::Contains("model.layers[1] (11:5)") && Catch::Contains("conv2d needs an image"));
  CHECK_THAT(problem({{max_pool(64), dense(3)}}), Catch::Contains("max_pool of size 64 on a 32x32 input"));
  CHECK_THAT(problem({{conv(8, 40, 1, true, false), dense(3)}}), Catch::Contains("conv2d of kernel 40"));
  CHECK_THAT(problem({{dense(7)}}), Catch::Contains("7 outputs") && Catch::Contains("3 classes") &&
                                        Catch::Contains("set its units to 3"));
  CHECK_THAT(problem({{plain(LayerKind::relu)}}), Catch::Contains("dense: {units: 3}"));
  CHECK_THAT(problem({{dense(2'000'000'000), dense(3)}}), Catch::Contains("at most 4GiB are allowed"));
  CHECK_THAT(problem({{dropout(1.0), dense(3)}}), Catch::Contains("in [0, 1)"));
  CHECK_FALSE(problem({{}}).empty());
}

}  // namespace trainyard::graph::test
