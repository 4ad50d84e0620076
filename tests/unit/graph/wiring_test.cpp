// Layers as they are written in YAML, with their shapes, names, wiring and what is said about those that do
// not fit.
#include <catch2/catch.hpp>

#include "common/config/read.hpp"
#include "common/graph/layers.hpp"

namespace trainyard::graph::test {

namespace {

const std::string head = "name: a\ndata: {source: {path: p}}\nmodel:\n  layers:\n";

/// The section whose layers are these lines; the first is line 5.
config::ModelSection section_of(const std::vector<std::string>& lines) {
  std::string text = head;
  for (const std::string& line : lines) text += "    " + line + "\n";
  const auto spec = config::read_job(text, "job.yaml", "/");
  if (!spec) FAIL(spec.error().message);
  return spec->model;
}

Result<Model> built(const std::vector<std::string>& lines, const Signature& input,
                    std::uint32_t classes = 3) {
  return model_of(section_of(lines), input, classes, 4);
}

const Signature image = signature_of({8, 12, 10});
const Signature sequence({tensor::kBatch, 9, 6});
const Signature ids({tensor::kBatch, 9}, DType::i32);

/// The shape behind the one layer.
std::string shape_after(const std::string& line, const Signature& input = image) {
  const auto model =
      model_of(section_of({"- " + line, "- flatten: {name: f}", "- dense: {units: 3}"}), input, 3, 4);
  if (!model) return model.error().message;
  // What the flattening or the dense layer takes.
  const Node& last = model->graph.nodes.back();
  const Node* at = &last;
  for (const Node& node : model->graph.nodes)
    if (node.outputs[0] == last.inputs[0] && node.kind == Kind::reshape &&
        model->graph.origins[node.origin].name == "f")
      at = &node;
  return model->graph.shape(at->inputs[0]).text();
}

std::string problem(const std::vector<std::string>& lines, const Signature& input = image) {
  const auto model = built(lines, input);
  return model ? "" : model.error().message;
}

}  // namespace

TEST_CASE("each layer of images has the shape that PyTorch and Keras give", "[graph]") {
  CHECK(shape_after("conv2d: {filters: 4, kernel: 3}") == "[N, 4, 12, 10]");
  CHECK(shape_after("conv2d: {filters: 4, kernel: 3, stride: 2}") == "[N, 4, 6, 5]");
  CHECK(shape_after("conv2d: {filters: 4, kernel: [3, 5], padding: valid}") == "[N, 4, 10, 6]");
  CHECK(shape_after("conv2d: {filters: 4, kernel: 3, padding: 2, dilation: 2, groups: 4}") ==
        "[N, 4, 12, 10]");
  CHECK(shape_after("depthwise_conv2d: {kernel: 3, multiplier: 2}") == "[N, 16, 12, 10]");
  CHECK(shape_after("conv2d_transpose: {filters: 4, kernel: 3, stride: 2}") == "[N, 4, 24, 20]");
  CHECK(shape_after("conv2d_transpose: {filters: 4, kernel: 2, stride: 3}") == "[N, 4, 36, 30]");
  CHECK(shape_after("conv2d_transpose: {filters: 4, kernel: 3, stride: 2, padding: 1, output_padding: 1, "
                    "groups: 2}") == "[N, 4, 24, 20]");
  CHECK(shape_after("conv2d_transpose: {filters: 4, kernel: 3, stride: 2, padding: valid}") ==
        "[N, 4, 25, 21]");
  CHECK(shape_after("max_pool: {size: 3}") == "[N, 8, 4, 3]");
  CHECK(shape_after("max_pool: {size: 3, ceil: true}") == "[N, 8, 4, 4]");
  CHECK(shape_after("avg_pool: {size: 3, stride: 2, padding: 1}") == "[N, 8, 6, 5]");
  CHECK(shape_after("avg_pool: {size: [2, 5], stride: 1, padding: same}") == "[N, 8, 12, 10]");
  CHECK(shape_after("global_avg_pool") == "[N, 8, 1, 1]");
  CHECK(shape_after("global_max_pool") == "[N, 8, 1, 1]");
  CHECK(shape_after("adaptive_avg_pool: {size: [6, 5]}") == "[N, 8, 6, 5]");
  CHECK(shape_after("adaptive_avg_pool: {size: 7}") == "[N, 8, 7, 7]");
  CHECK(shape_after("zero_pad: {padding: [1, 2, 3, 4]}") == "[N, 8, 15, 17]");
  CHECK(shape_after("upsample: {size: [2, 3]}") == "[N, 8, 24, 30]");
  CHECK(shape_after("resize: {size: 7, mode: bilinear}") == "[N, 8, 7, 7]");
  CHECK(shape_after("reshape: {shape: [-1, 10]}") == "[N, 96, 10]");
  CHECK(shape_after("permute: {axes: [2, 3, 1]}") == "[N, 12, 10, 8]");
  CHECK(shape_after("flatten") == "[N, 960]");
  for (const char* same :
       {"batch_norm", "layer_norm", "group_norm: {groups: 4}", "instance_norm", "lrn", "l2_normalize",
        "relu6", "selu", "gelu", "prelu", "softmax", "log_softmax: {axis: 3}", "dropout"})
    CHECK(shape_after(same) == "[N, 8, 12, 10]");
}

TEST_CASE("each layer of sequences has the shape that PyTorch and Keras give", "[graph]") {
  CHECK(shape_after("embedding: {input_dim: 50, output_dim: 7}", ids) == "[N, 9, 7]");
  CHECK(shape_after("conv1d: {filters: 4, kernel: 3}", sequence) == "[N, 9, 4]");
  CHECK(shape_after("conv1d: {filters: 4, kernel: 3, stride: 2, padding: valid, dilation: 2}", sequence) ==
        "[N, 3, 4]");
  CHECK(shape_after("dense: {units: 5}", sequence) == "[N, 9, 5]");
  CHECK(shape_after("lstm: {units: 5}", sequence) == "[N, 9, 5]");
  CHECK(shape_after("gru: {units: 5, bidirectional: true}", sequence) == "[N, 9, 10]");
  CHECK(shape_after("rnn: {units: 5, return: last}", sequence) == "[N, 5]");
  CHECK(shape_after("lstm: {units: 5, return: last, bidirectional: true}", sequence) == "[N, 10]");
  CHECK(shape_after("attention", sequence) == "[N, 9, 6]");
  CHECK(shape_after("multi_head_attention: {heads: 3}", sequence) == "[N, 9, 6]");
  CHECK(shape_after("transformer_encoder: {heads: 2}", sequence) == "[N, 9, 6]");
  CHECK(shape_after("positional_encoding", sequence) == "[N, 9, 6]");
  CHECK(shape_after("layer_norm", sequence) == "[N, 9, 6]");
  CHECK(shape_after("global_avg_pool", sequence) == "[N, 6]");
  CHECK(shape_after("global_max_pool", sequence) == "[N, 6]");
}

TEST_CASE("layers take what `from` names", "[graph]") {
  const auto model =
      built({"- conv2d: {filters: 8, kernel: 3, name: a}", "- conv2d: {filters: 8, kernel: 3, from: input}",
             "- add: {from: [a, input], name: sum}", "- multiply: {from: [sum, a]}", "- dense: {units: 3}"},
            image);
  INFO((model ? std::string() : model.error().message));
  REQUIRE(model.has_value());
  const auto& nodes = model->graph.nodes;
  const ValueId input = nodes[0].inputs[0], a = nodes[0].outputs[0];
  CHECK(nodes[1].inputs[0] == input);
  CHECK(nodes[2].inputs == std::vector<ValueId>{a, input});
  CHECK(nodes[3].inputs == std::vector<ValueId>{nodes[2].outputs[0], a});
  CHECK(model->tensors[2].name == "conv1.weight");
}

TEST_CASE("a residual block, branches and a repetition are as drawn", "[graph]") {
  const auto model =
      built({"- conv2d: {filters: 8, kernel: 3, name: stem}",
             "- residual:", "    layers: [conv2d: {filters: 16, kernel: 3, stride: 2}, batch_norm]",
             "    shortcut: [conv2d: {filters: 16, kernel: 1, stride: 2}]",
             "- branches: {concat: [[conv2d: {filters: 3, kernel: 1}], [max_pool: {size: 3, stride: 1, "
             "padding: same}], []]}",
             "- repeat: {times: 2, layers: [conv2d: {filters: 5, kernel: 1, name: mix}, relu]}",
             "- global_avg_pool", "- dense: {units: 3}"},
            image);
  INFO((model ? std::string() : model.error().message));
  REQUIRE(model.has_value());
  std::vector<std::string> names;
  for (const TensorInfo& tensor : model->tensors)
    if (tensor.name.ends_with("weight")) names.push_back(tensor.name);
  CHECK(names == std::vector<std::string>{"stem.weight", "residual1.conv1.weight", "residual1.bn1.weight",
                                          "residual1.shortcut.conv1.weight", "branches1.0.conv1.weight",
                                          "repeat1.0.mix.weight", "repeat1.1.mix.weight", "dense1.weight"});
  for (const Node& node : model->graph.nodes) {
    if (node.kind != Kind::concat) continue;
    CHECK(model->graph.shape(node.outputs[0]).text() == "[N, 35, 6, 5]");
    CHECK(node.inputs.size() == 3);
  }
}

TEST_CASE("a layer that does not fit is named with its place and with what would fit", "[graph]") {
  CHECK(problem({"- conv2d: {filters: 6, kernel: 3, groups: 4}", "- dense: {units: 3}"}) ==
        "model.layers[0] (5:7): 4 groups do not divide 8 input channels and 6 filters; 1, 2 do");
  CHECK(
      problem(
          {"- residual: {layers: [conv2d: {filters: 16, kernel: 3, stride: 2}]}", "- dense: {units: 3}"}) ==
      "model.layers[0] (5:7): residual adds [N, 16, 6, 5] of its layers to [N, 8, 12, 10] of its input; they "
      "have to be the same, for example with shortcut: [conv2d: {filters: 16, kernel: 1, stride: 2}]");
  CHECK_THAT(
      problem({"- residual: {layers: [conv2d: {filters: 8, kernel: 20, padding: valid}]}"}),
      Catch::StartsWith("model.layers[0].residual.layers[0] (5:27): conv2d of kernel 20 without padding on a "
                        "12x10 input; at most 10 fits"));
  CHECK(
      problem({"- max_pool: {size: 2, name: small}", "- concat: {from: [small, input]}"}) ==
      "model.layers[1] (6:7): concat of [N, 8, 6, 5] and [N, 8, 12, 10] along axis 1; all other axes have to "
      "agree");
  CHECK(problem({"- max_pool: {size: 2, name: small}", "- add: {from: [small, input]}"}) ==
        "model.layers[1] (6:7): [N, 8, 6, 5] and [N, 8, 12, 10] do not fit; they have to be the same, or 1 "
        "along "
        "an axis");
  CHECK_THAT(problem({"- lstm: {units: 3}"}), Catch::Contains("lstm needs a sequence [N, steps, features]") &&
                                                  Catch::Contains("reshape: {shape: [steps, features]}"));
  CHECK_THAT(problem({"- embedding: {input_dim: 9, output_dim: 2}"}), Catch::Contains("needs whole numbers"));
  CHECK_THAT(problem({"- dense: {units: 3}"}, ids), Catch::Contains("put an embedding in front"));
  CHECK_THAT(problem({"- conv2d: {filters: 3, kernel: 3}"}, sequence), Catch::Contains("such as conv1d"));
  CHECK_THAT(problem({"- batch_norm"}, sequence), Catch::Contains("layer_norm takes it"));
  CHECK_THAT(problem({"- multi_head_attention: {heads: 4}"}, sequence),
             Catch::Contains("4 heads do not divide the 6 features"));
  CHECK_THAT(problem({"- reshape: {shape: [7, -1]}"}), Catch::Contains("960 values a sample"));
  CHECK_THAT(problem({"- permute: {axes: [1, 2]}"}), Catch::Contains("each of the axes 1..3 once"));
  CHECK_THAT(problem({"- softmax: {axis: 5}"}), Catch::Contains("axis 5 of [N, 8, 12, 10]; 1..3"));
  CHECK_THAT(problem({"- max_pool: {size: 2, padding: 2}"}), Catch::Contains("at most 1x1 fits"));
  CHECK_THAT(problem({"- avg_pool: {size: 3, ceil: true, count_padding: true}"}),
             Catch::Contains("do not go together"));
  CHECK_THAT(problem({"- conv2d_transpose: {filters: 3, kernel: 3, output_padding: 1}"}),
             Catch::Contains("below the stride"));
}

TEST_CASE("repetitions of repetitions end", "[graph]") {
  const std::string inner = "repeat: {times: 1000, layers: [flatten]}";
  CHECK_THAT(problem({"- repeat: {times: 1000, layers: [repeat: {times: 1000, layers: [" + inner + "]}]}"}),
             Catch::Contains("more than 4096 layers"));
}

}  // namespace trainyard::graph::test
