// What import makes of small files: names, kinds, the open batch, what is computed at once.
#include <catch2/catch.hpp>
#include <cmath>

#include "common/base/random.hpp"
#include "tests/onnx/file.hpp"
#include "tests/onnx/runner.hpp"

namespace trainyard::graph::test {
namespace {

std::vector<float> numbers(std::size_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> out(count);
  for (float& value : out) value = static_cast<float>(random.uniform(-1, 1));
  return out;
}

Model imported(const File& file, const OnnxImport& options = {}) {
  auto model = import_onnx(file.bytes(), options);
  if (!model) FAIL(model.error().message);
  return std::move(*model);
}

const TensorInfo& tensor(const Model& model, const std::string& name) {
  for (const TensorInfo& info : model.tensors)
    if (info.name == name) return info;
  FAIL("no tensor " << name);
  return model.tensors[0];
}

std::vector<Kind> kinds(const Model& model) {
  std::vector<Kind> out;
  for (const Node& node : model.graph.nodes) out.push_back(node.kind);
  return out;
}

Numbers run_floats(const Model& model, const Dims& dims, const std::vector<float>& x) {
  const auto backend = ops::reference_backend<float>();
  const auto out = run(model, {constant_of({dims, {x.begin(), x.end()}}, DType::f32)}, *backend);
  if (!out) FAIL(out.error().message);
  return (*out)[0];
}

File small_network() {
  File file;
  file.input("image", {"batch", "3", "8", "8"}).output("scores");
  file.floats("conv.w", {4, 3, 3, 3}, numbers(108, 1)).floats("conv.b", {4}, numbers(4, 2));
  file.floats("bn.scale", {4}, {1, 2, 1, 1}).floats("bn.shift", {4}, {0, 1, 0, 0});
  file.floats("bn.mean", {4}, numbers(4, 3)).floats("bn.var", {4}, {1, 2, 3, 4});
  file.floats("fc.w", {4, 5}, numbers(20, 4)).floats("fc.b", {5}, numbers(5, 5));
  auto& conv = file.node("Conv", {"image", "conv.w", "conv.b"}, {"c"}, "conv_1");
  File::set(conv, "pads", Dims{1, 1, 1, 1});
  file.node("BatchNormalization", {"c", "bn.scale", "bn.shift", "bn.mean", "bn.var"}, {"n"});
  file.node("Relu", {"n"}, {"r"});
  file.node("GlobalAveragePool", {"r"}, {"g"});
  file.node("Flatten", {"g"}, {"features"});
  file.node("Gemm", {"features", "fc.w", "fc.b"}, {"scores"}, "classifier");
  return file;
}

}  // namespace

TEST_CASE("a network is imported with its tensors named and of their kinds, and its batch open", "[onnx]") {
  const Model model = imported(small_network());
  CHECK(kinds(model) ==
        std::vector{Kind::conv2d, Kind::batch_norm, Kind::unary, Kind::avg_pool, Kind::reshape, Kind::dense});
  REQUIRE(model.graph.externals.size() == 1);
  CHECK(model.graph.externals[0].name == "image");
  CHECK(model.graph.externals[0].of.shape == Shape{tensor::kBatch, 3, 8, 8});
  CHECK(model.graph.shape(model.graph.results[0]) == Shape{tensor::kBatch, 5});
  CHECK(model.result_names == Names{"scores"});
  CHECK(model.graph.shape(model.names.at("features")) == Shape{tensor::kBatch, 4});
  CHECK(tensor(model, "conv.w").kind == TensorKind::weight);
  CHECK(tensor(model, "conv.b").kind == TensorKind::bias);
  CHECK(tensor(model, "bn.scale").kind == TensorKind::bias);
  CHECK(tensor(model, "bn.mean").kind == TensorKind::buffer);
  CHECK(tensor(model, "fc.w").shape == Dims{5, 4});  // units first, as everywhere here
  CHECK(model.given.size() == model.length);
  CHECK(model.graph.origins[model.graph.nodes[0].origin].place == "ONNX node 'conv_1' (Conv)");
}

TEST_CASE("a reshape to the batch that the file computes keeps the batch open", "[onnx]") {
  File file;
  file.input("x", {"N", "2", "3"}).output("y");
  file.integers("zero", {}, {0}).integers("axis", {1}, {0}).integers("rest", {1}, {-1});
  file.node("Shape", {"x"}, {"s"});
  file.node("Gather", {"s", "zero"}, {"n"});
  file.node("Unsqueeze", {"n", "axis"}, {"n1"});
  file.node("Concat", {"n1", "rest"}, {"to"});
  File::set(*file.graph().mutable_node(3), "axis", std::int64_t{0});
  file.node("Reshape", {"x", "to"}, {"y"});
  const Model model = imported(file);
  CHECK(kinds(model) == std::vector{Kind::reshape});
  CHECK(model.graph.shape(model.graph.results[0]) == Shape{tensor::kBatch, 6});
  CHECK(run_floats(model, {4, 2, 3}, numbers(24, 1)).dims == Dims{4, 6});
}

TEST_CASE("batch times something is followed through arithmetic", "[onnx]") {
  File file;
  file.input("x", {"N", "6", "2"}).output("y");
  file.integers("0", {}, {0}).integers("1", {}, {1}).integers("3", {}, {3}).integers("two", {1}, {2});
  file.integers("front", {1}, {0});
  file.node("Shape", {"x"}, {"s"});
  file.node("Gather", {"s", "0"}, {"n"});
  file.node("Gather", {"s", "1"}, {"six"});
  file.node("Mul", {"n", "3"}, {"n3"});
  file.node("Div", {"six", "3"}, {"half"});
  file.node("Unsqueeze", {"n3", "front"}, {"a"});
  file.node("Unsqueeze", {"half", "front"}, {"b"});
  File::set(file.node("Concat", {"a", "b", "two"}, {"to"}), "axis", std::int64_t{0});
  file.node("Reshape", {"x", "to"}, {"y"});
  const Model model = imported(file);
  CHECK(model.graph.shape(model.graph.results[0]) == Shape{-3, 2, 2});
  CHECK(run_floats(model, {5, 6, 2}, numbers(60, 1)).dims == Dims{15, 2, 2});
}

TEST_CASE("a batch that the file fixes can be opened, also where its reshapes name it", "[onnx]") {
  File file;
  file.input("x", {"1", "2", "3"}).output("y");
  file.integers("to", {2}, {1, 6});
  file.node("Reshape", {"x", "to"}, {"y"});
  CHECK(imported(file).graph.shape(imported(file).graph.results[0]) == Shape{1, 6});
  const Model open = imported(file, {.shapes = {{"x", {tensor::kBatch, 2, 3}}}});
  CHECK(open.graph.shape(open.graph.results[0]) == Shape{tensor::kBatch, 6});
  file.initializer(0).set_raw_data(
      std::string("\1\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 16));  // [1, -1]
  const Model rest = imported(file, {.shapes = {{"x", {tensor::kBatch, 2, 3}}}});
  CHECK(rest.graph.shape(rest.graph.results[0]) == Shape{tensor::kBatch, 6});
}

TEST_CASE("other open dimensions are told by name, and asked for otherwise", "[onnx]") {
  File file;
  file.input("x", {"N", "3", "height", "width"}).output("y");
  file.node("GlobalAveragePool", {"x"}, {"y"});
  const auto refused = import_onnx(file.bytes());
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().message ==
        "input 'x': dimension 2 ('height') is open; only the batch may be. Tell its size");
  const Model model = imported(file, {.extents = {{"height", 4}, {"width", 6}}});
  CHECK(model.graph.externals[0].of.shape == Shape{tensor::kBatch, 3, 4, 6});
}

TEST_CASE("the batch may stand behind time", "[onnx]") {
  File file;
  file.input("x", {"7", "N", "4"}).output("y");
  file.node("Relu", {"x"}, {"y"});
  CHECK(imported(file).graph.externals[0].of.shape == Shape{7, tensor::kBatch, 4});
}

TEST_CASE("what depends on constants alone is computed at import", "[onnx]") {
  File file;
  file.input("x", {"N", "3"}).output("y");
  file.floats("w", {2, 3}, {1, 2, 3, 4, 5, 6});
  file.node("Transpose", {"w"}, {"wt"});
  file.node("MatMul", {"x", "wt"}, {"y"});
  const Model model = imported(file);
  CHECK(kinds(model) == std::vector{Kind::dense});
  CHECK(tensor(model, "wt").shape == Dims{2, 3});
  CHECK(run_floats(model, {1, 3}, {1, 10, 100}).values == std::vector<double>{321, 654});
}

TEST_CASE("a weight that two nodes share stays one tensor", "[onnx]") {
  File file;
  file.input("ids", {"N"}, onnx::TensorProto::INT64).output("scores");
  file.floats("table", {4, 3}, numbers(12, 1));
  file.node("Gather", {"table", "ids"}, {"x"});
  file.node("Transpose", {"table"}, {"t"});
  file.node("MatMul", {"x", "t"}, {"scores"});
  const Model model = imported(file);
  REQUIRE(model.tensors.size() == 1);
  CHECK(model.tensors[0].name == "table");
  CHECK(model.tensors[0].shape == Dims{4, 3});
}

TEST_CASE("a tensor beside what is learned is a bias or scale; masks and plain numbers are constants",
          "[onnx]") {
  File file;
  file.input("x", {"N", "4"}).output("y");
  file.floats("mean", {4}, {1, 2, 3, 4}).floats("w", {4, 4}, numbers(16, 1)).floats("b", {4}, {1, 2, 3, 4});
  file.floats("mask", {4}, {0, 0, -1e9f, -1e9f}).floats("half", {}, {0.5f});
  file.node("Add", {"x", "mean"}, {"x1"});
  file.node("MatMul", {"x1", "w"}, {"x2"});
  file.node("Add", {"x2", "b"}, {"x3"});
  file.node("Add", {"x3", "mask"}, {"x4"});
  file.node("Mul", {"x4", "half"}, {"y"});
  const Model model = imported(file);
  REQUIRE(model.tensors.size() == 2);
  CHECK(tensor(model, "w").kind == TensorKind::weight);
  CHECK(tensor(model, "b").kind == TensorKind::bias);
  CHECK(model.graph.constants.size() == 3);
}

TEST_CASE("inputs can be told as constants, and other values be the results", "[onnx]") {
  File file;
  file.input("x", {"N", "4"}).input("to", {"2"}, onnx::TensorProto::INT64).output("y");
  file.node("Relu", {"x"}, {"r"});
  file.node("Reshape", {"r", "to"}, {"y"});
  OnnxImport options;
  options.constants.emplace("to", constant_of({{2}, {-1, 2}}, DType::i64));
  const Model model = imported(file, options);
  CHECK(model.graph.externals.size() == 1);
  CHECK(model.graph.shape(model.graph.results[0]) == Shape{-2, 2});
  const Model inner = imported(file, {.results = {"r"}});
  CHECK(kinds(inner) == std::vector{Kind::unary});
  options.constants.emplace("z", constant_of({{}, {0}}, DType::f32));
  CHECK(import_onnx(file.bytes(), options).error().message == "the model has no input 'z'");
}

TEST_CASE("nodes that no result needs are not looked at", "[onnx]") {
  File file = small_network();
  file.node("NoSuchThing", {"features"}, {"unused"});
  CHECK(imported(file).graph.nodes.size() == 6);
}

TEST_CASE("nodes may stand in any order", "[onnx]") {
  File file;
  file.input("x", {"N", "4"}).output("y");
  file.node("Sigmoid", {"r"}, {"y"});
  file.node("Relu", {"x"}, {"r"});
  CHECK(imported(file).graph.nodes[0].attributes.function == ops::Function::relu);
}

TEST_CASE("a global pool by powers is the norm of each channel", "[onnx]") {
  File file;
  file.input("x", {"N", "2", "2"}).output("y");
  File::set(file.node("GlobalLpPool", {"x"}, {"y"}), "p", std::int64_t{3});
  const Numbers y = run_floats(imported(file), {1, 2, 2}, {3, 4, -5, 0});
  CHECK(y.dims == Dims{1, 2, 1});
  CHECK(y.values[0] == Approx(std::cbrt(27.0 + 64)));
  CHECK(y.values[1] == Approx(5));
}

TEST_CASE("another name of a weight is the same weight", "[onnx]") {
  File file;
  file.input("x", {"N", "4"}).output("y");
  file.floats("w", {4, 4}, numbers(16, 1));
  file.node("Identity", {"w"}, {"w2"});
  file.node("MatMul", {"x", "w"}, {"a"});
  file.node("MatMul", {"a", "w2"}, {"y"});
  const Model model = imported(file);
  REQUIRE(model.tensors.size() == 1);
  CHECK(model.tensors[0].name == "w");
}

}  // namespace trainyard::graph::test
