#include <catch2/catch.hpp>

#include "common/config/presets.hpp"
#include "tests/unit/config/example.hpp"

using namespace trainyard;
using config::LayerKind;
using test::job_error;

namespace {

const std::string head = "name: a\ndata: {source: {path: p}}\nmodel:\n";

/// A job with these lines under `model.layers`; the first is line 5.
std::string with_layers(const std::vector<std::string>& layers) {
  std::string text = head + "  layers:\n";
  for (const std::string& layer : layers) text += "    " + layer + "\n";
  return text;
}

std::vector<config::Layer> layers_of(const std::string& text) {
  const auto spec = config::read_job(text, "job.yaml", "/jobs");
  if (!spec) FAIL(spec.error().message);
  return spec->model.layers;
}

std::string problem(const std::vector<std::string>& layers) { return job_error(with_layers(layers)); }

}  // namespace

TEST_CASE("one number means both sides, and padding is same, valid or given", "[config]") {
  const auto layers = layers_of(with_layers({
      "- conv2d: {filters: 8, kernel: [1, 7], stride: [2, 1], padding: [0, 3], dilation: 2, groups: 2}",
      "- max_pool: {size: 3, stride: 2, padding: 1, ceil: true}",
      "- conv2d: {filters: 8, kernel: 3, padding: valid, activation: gelu}",
      "- zero_pad: {padding: [1, 2, 3, 4]}",
  }));
  CHECK(layers[0].kernel == config::Sides(1, 7));
  CHECK(layers[0].stride == config::Sides(2, 1));
  CHECK(layers[0].dilation == config::Sides(2));
  CHECK(layers[0].padding == config::Padding{config::Padding::Mode::given, {0, 3}});
  CHECK(layers[0].groups == 2);
  CHECK(layers[1].padding == config::Padding{config::Padding::Mode::given, 1});
  CHECK(layers[1].ceil);
  CHECK(layers[2].padding.mode == config::Padding::Mode::valid);
  CHECK(layers[2].activation == config::Activation::gelu);
  CHECK(layers[3].edges == std::array<std::uint32_t, 4>{1, 2, 3, 4});
  CHECK(
      problem({"- conv2d: {filters: 8, kernel: [1, 2, 3]}"}) ==
      "job.yaml:5:36: model.layers[0].conv2d.kernel: expected a number, or [height, width]; got a list of 3 "
      "items");
  CHECK(problem({"- conv2d: {filters: 8, kernel: 3, padding: sane}"}) ==
        "job.yaml:5:48: model.layers[0].conv2d.padding: 'sane' is not one of same, valid, a number");
}

TEST_CASE("blocks hold layers, which know where they stand", "[config]") {
  const auto layers = layers_of(with_layers({
      "- residual:",
      "    layers:",
      "      - conv2d: {filters: 8, kernel: 3}",
      "      - branches: {concat: [[relu, dropout], []], axis: 2}",
      "    shortcut: [conv2d: {filters: 8, kernel: 1}]",
      "- repeat: {times: 3, layers: [relu]}",
  }));
  REQUIRE(layers.size() == 2);
  REQUIRE(layers[0].layers.size() == 2);
  CHECK(layers[0].layers[0].line == 7);
  CHECK(layers[0].layers[0].column == 13);
  const config::Layer& branches = layers[0].layers[1];
  REQUIRE(branches.branches.size() == 2);
  CHECK(branches.join == config::Join::concat);
  CHECK(branches.axis == 2);
  CHECK(branches.branches[0][1].kind == LayerKind::dropout);
  CHECK(branches.branches[1].empty());
  CHECK(layers[0].shortcut[0].filters == 8);
  CHECK(layers[1].times == 3);
}

TEST_CASE("wiring by name is checked where it is written", "[config]") {
  CHECK(problem({"- relu: {name: a}", "- relu", "- add: {from: [a, input]}"}).empty());
  CHECK(problem({"- relu: {name: left}", "- relu: {from: lift}"}) ==
        "job.yaml:6:7: model.layers[1].relu: there is no layer 'lift' in front of it; did you mean 'left'?");
  CHECK(problem({"- relu: {name: a, from: other}"}) ==
        "job.yaml:5:7: model.layers[0].relu: there is no layer 'other' in front of it; known here: input");
  CHECK(
      problem({"- relu: {from: b}", "- relu: {name: b, from: input}"}) ==
      "job.yaml:5:7: model.layers[0].relu: takes from 'b', which comes later (6:7); a layer takes from those "
      "in front of it");
  CHECK(problem({"- relu: {name: a, from: b}", "- relu: {name: b, from: a}"}) ==
        "job.yaml:5:7: model.layers[0].relu: takes from 'b' (6:7), which is made from it: a cycle");
  CHECK(problem({"- relu: {name: a, from: a}"}) ==
        "job.yaml:5:7: model.layers[0].relu: takes from itself ('a'): a cycle");
  CHECK(problem({"- residual: {name: r, layers: [relu: {from: r}]}"}) ==
        "job.yaml:5:36: model.layers[0].residual.layers[0].relu: takes from the block 'r' (5:7) that it is a "
        "part of: a cycle");
  CHECK(problem({"- relu: {name: a}", "- tanh: {name: a}"}) ==
        "job.yaml:6:7: model.layers[1].tanh: the name 'a' is taken by the layer at 5:7");
  CHECK(problem({"- add"}) ==
        "job.yaml:5:7: model.layers[0].add: takes two inputs or more; name them, for example from: [a, b]");
  CHECK(problem({"- relu: {name: a}", "- relu: {name: b}", "- relu: {from: [a, b]}"}) ==
        "job.yaml:7:7: model.layers[2].relu: takes one input, and `from` names 2; merge them first, with "
        "concat "
        "or add");
  CHECK_THAT(problem({"- relu: {name: input}"}), Catch::Contains("is the name of the model's input"));
}

TEST_CASE("names inside a block are its own, and those around it are seen", "[config]") {
  CHECK(problem({"- relu: {name: a}",
                 "- branches: {add: [[relu: {name: b}, add: {from: [a, b]}], [relu: {name: b}]]}"})
            .empty());
  CHECK_THAT(problem({"- residual: {layers: [relu: {name: b}]}", "- relu: {from: b}"}),
             Catch::Contains("no layer 'b'"));
}

TEST_CASE("names of other frameworks get a hint", "[config]") {
  CHECK_THAT(problem({"- Conv2D: {}"}), Catch::Contains("did you mean 'conv2d'?"));
  CHECK_THAT(problem({"- Linear: {}"}), Catch::Contains("did you mean 'dense'?"));
  CHECK_THAT(problem({"- MaxPool2d: {}"}), Catch::Contains("did you mean 'max_pool'?"));
  CHECK_THAT(problem({"- BatchNormalization"}), Catch::Contains("did you mean 'batch_norm'?"));
  CHECK_THAT(problem({"- conv2d: {out_channels: 8, kernel_size: 3}"}),
             Catch::Contains("unknown key 'out_channels'; did you mean 'filters'?") &&
                 Catch::Contains("unknown key 'kernel_size'; did you mean 'kernel'?"));
  CHECK_THAT(problem({"- dropout: {p: 0.3}"}), Catch::Contains("did you mean 'rate'?"));
}

TEST_CASE("blocks without anything inside are refused", "[config]") {
  CHECK_THAT(problem({"- residual: {layers: []}"}), Catch::Contains("needs at least one layer inside"));
  CHECK_THAT(problem({"- branches"}), Catch::Contains("needs one of concat, add, multiply"));
  CHECK_THAT(problem({"- branches: {concat: [[relu]]}"}),
             Catch::Contains("expected a list of 2..64 branches"));
  CHECK_THAT(problem({"- branches: {concat: [[relu], []], add: [[relu], []]}"}),
             Catch::Contains("joined in one way"));
}

TEST_CASE("every kind of layer reads, prints and reads again as the same", "[config]") {
  const std::string text = with_layers({
      "- conv2d: {filters: 8, kernel: [3, 5], padding: 1, name: a}",
      "- depthwise_conv2d: {kernel: 3, multiplier: 2}",
      "- conv2d_transpose: {filters: 3, kernel: 4, stride: 2, output_padding: 1}",
      "- conv1d: {filters: 3, kernel: 3}",
      "- dense: {units: 3, bias: false, activation: tanh}",
      "- embedding: {input_dim: 100, output_dim: 8}",
      "- batch_norm: {momentum: 0.01, epsilon: 1e-3}",
      "- layer_norm: {affine: false}",
      "- group_norm: {groups: 2}",
      "- instance_norm",
      "- lrn: {size: 5, k: 2}",
      "- l2_normalize",
      "- leaky_relu: {alpha: 0.2}",
      "- gelu: {approximate: true}",
      "- hard_sigmoid",
      "- softmax: {axis: -1}",
      "- avg_pool: {size: [2, 3], stride: 2, padding: same, count_padding: true}",
      "- adaptive_avg_pool: {size: 7}",
      "- reshape: {shape: [-1, 4]}",
      "- permute: {axes: [2, 1]}",
      "- zero_pad",
      "- upsample: {size: 2, mode: bilinear}",
      "- resize: {size: [7, 9]}",
      "- lstm: {units: 5, bidirectional: true, return: last}",
      "- multi_head_attention: {heads: 2, causal: true, from: [a, input]}",
      "- transformer_encoder: {heads: 2, feedforward: 16, activation: gelu}",
      "- positional_encoding: {learned: true, name: b}",
      "- concat: {from: [a, b], axis: 2}",
      "- branches: {maximum: [[relu], [tanh, elu]]}",
      "- repeat: {times: 2, layers: [residual: {layers: [relu], shortcut: [prelu]}]}",
  });
  const auto spec = config::read_job(text, "job.yaml", "/jobs");
  INFO((spec ? std::string() : spec.error().message));
  REQUIRE(spec.has_value());
  const std::string printed = config::print_job(*spec);
  const auto again = config::read_job(printed, "printed", "/jobs");
  INFO(printed << (again ? std::string() : again.error().message));
  REQUIRE(again.has_value());
  CHECK(config::print_job(*again) == printed);
  // Where a layer stood in its author's file is not lost on the way.
  CHECK(again->model.layers[3].line == spec->model.layers[3].line);
  CHECK(again->model.layers.back().layers[0].shortcut[0].column ==
        spec->model.layers.back().layers[0].shortcut[0].column);
}

TEST_CASE("the schema and the reference page know every layer and preset", "[config]") {
  const Json schema = config::job_schema();
  const Json& one = schema["$defs"]["layers"]["items"]["anyOf"][0]["properties"];
  CHECK(one["leaky_relu"]["properties"]["alpha"]["default"] == 0.01);
  CHECK(one["max_pool"]["properties"]["padding"]["default"] == "valid");
  CHECK(one["residual"]["properties"]["layers"]["$ref"] == "#/$defs/layers");
  CHECK_FALSE(one["relu"]["properties"].contains("place"));
  CHECK(schema["properties"]["model"]["properties"]["preset"]["enum"].size() ==
        config::preset_infos().size());
  const std::string page = config::job_reference();
  for (const auto& [name, layer] : one.items()) CHECK(page.find("\n### " + name + "\n") != std::string::npos);
  for (const config::PresetInfo& info : config::preset_infos())
    CHECK(page.find("| `" + info.name + "` |") != std::string::npos);
}

TEST_CASE("a preset has its options and defaults, and no others", "[config]") {
  const auto read = [](const std::string& model) {
    return config::read_job(head.substr(0, head.size() - 1) + " " + model + "\n", "job.yaml", "/jobs");
  };
  const auto mlp = read("{hidden: [64], preset: mlp}");
  REQUIRE(mlp.has_value());
  CHECK(mlp->model.options.hidden == std::vector<std::uint32_t>{64});
  CHECK(mlp->model.options.activation == config::Activation::relu);
  const auto again = config::read_job(config::print_job(*mlp), "printed", "/jobs");
  REQUIRE(again.has_value());
  CHECK(again->model.preset == "mlp");
  CHECK(again->model.options.hidden == mlp->model.options.hidden);
  CHECK(read("{preset: mobilenet_v2}")->model.options.dropout == 0.2);

  const auto error = [&](const std::string& model) {
    const auto spec = read(model);
    return spec ? std::string() : spec.error().message;
  };
  CHECK(error("{preset: resnet18, hidden: [3]}") ==
        "job.yaml:3:35: model.hidden: is no option of preset resnet18; it has zero_init");
  CHECK(error("{hidden: [3], layers: [relu]}") ==
        "job.yaml:3:17: model.hidden: is an option of presets, and there is no preset");
  CHECK_THAT(error("{preset: resnet-18}"), Catch::Contains("did you mean 'resnet18'?"));
  CHECK_THAT(error("{preset: resnet18, layers: [relu]}"),
             Catch::Contains("a preset or an onnx file, one of them"));
  CHECK_THAT(error("{onnx: a.onnx, layers: [relu]}"), Catch::Contains("model.onnx: the model is layers, "));
  CHECK_THAT(error("{layers: [relu], head: keep}"), Catch::Contains("is an option of onnx"));
  CHECK(error("{loss: softmax_cross_entropy}") ==
        "job.yaml:3:8: model: needs layers, a preset or an onnx file");
  CHECK(error("{preset: bilstm}") ==
        "job.yaml:3:17: model.preset: bilstm reads text, and data sources of this release give images; of "
        "images are mlp, lenet5, alexnet, vgg16, inception_v3, resnet18, resnet20, resnet50, mobilenet_v2, "
        "squeezenet_1_1");
}
