// What fusion joins, and that the numbers stay the same.
#include "common/graph/fuse.hpp"

#include <catch2/catch.hpp>

#include "common/base/random.hpp"
#include "common/graph/autodiff.hpp"
#include "common/graph/model.hpp"
#include "common/graph/program.hpp"

namespace trainyard::graph::test {

namespace {

using ops::Arithmetic;
using ops::Function;

constexpr std::uint32_t kCount = 4;

/// Builds a network of branches over an image [N, 2, 3, 3].
class Branches {
 public:
  Branches() : builder_(kCount) {
    builder_.origin("branches", "");
    x_ = builder_.input("x", Signature({tensor::kBatch, 2, 3, 3}));
  }
  ValueId x() const { return x_; }
  ValueId add(Kind kind, const Attributes& attributes, std::vector<ValueId> inputs) {
    const auto made = builder_.add(kind, attributes, std::move(inputs));
    if (!made) FAIL(made.error().message);
    return *made;
  }
  ValueId conv(ValueId x) {
    Attributes same;
    same.pad_top = same.pad_bottom = same.pad_left = same.pad_right = 1;
    return add(Kind::conv2d, same, {x, own({2, 2, 3, 3}, Init::he)});
  }
  ValueId norm(ValueId x, bool frozen = false) {
    Attributes attributes;
    attributes.frozen = frozen;
    return add(Kind::batch_norm, attributes,
               {x, own({2}, Init::one), own({2}, Init::zero), own({2}, Init::zero, TensorKind::buffer),
                own({2}, Init::one, TensorKind::buffer)});
  }
  ValueId unary(Function function, ValueId x) { return add(Kind::unary, {.function = function}, {x}); }
  ValueId max_pool(ValueId x) {
    Attributes window;
    window.kernel_height = window.kernel_width = 2;
    return add(Kind::max_pool, window, {x});
  }
  ValueId sum(ValueId a, ValueId b) { return add(Kind::binary, {.arithmetic = Arithmetic::add}, {a, b}); }
  Model finish(std::vector<ValueId> results) { return std::move(builder_).finish(std::move(results)); }

 private:
  ValueId own(std::vector<std::int64_t> shape, Init init, TensorKind kind = TensorKind::weight) {
    const auto id = builder_.parameter("p" + std::to_string(++parameters_), std::move(shape), kind, init);
    if (!id) FAIL(id.error().message);
    return *id;
  }
  Builder builder_;
  ValueId x_ = 0;
  int parameters_ = 0;
};

std::size_t count(const Graph& graph, Kind kind) {
  std::size_t found = 0;
  for (const Node& node : graph.nodes) found += node.kind == kind ? 1 : 0;
  return found;
}

/// Results and gradients of a step in double, from gradients of the results that are all different.
std::vector<double> numbers(const Model& model, bool training, bool fused) {
  Graph graph = training ? training_graph(model, 1) : inference_graph(model);
  if (fused) fuse(graph, training);
  if (training) REQUIRE(differentiate_from_seeds(graph).has_value());
  const auto backend = ops::reference_backend<double>();
  auto program = Program::bind(graph, kCount, *backend);
  if (!program) FAIL(program.error().message);
  Random random(8);
  std::vector<double> values(model.length), gradients(model.length);
  for (double& value : values) value = random.uniform(0.2, 1);
  std::vector<std::vector<double>> inputs;
  for (const External& external : graph.externals) {
    inputs.emplace_back(static_cast<std::size_t>(external.of.shape.with_batch(kCount).elements()));
    for (double& value : inputs.back()) value = random.uniform(-2, 2);
  }
  std::vector<void*> externals;
  for (auto& input : inputs) externals.push_back(input.data());
  tensor::Buffer arena((*program)->arena_bytes());
  const Memory memory{arena.data(), values.data(), gradients.data(), externals};
  (*program)->run(memory);
  for (std::size_t i = 0; i < graph.results.size(); ++i) {
    const auto* result = static_cast<const double*>((*program)->result(memory, i));
    const auto elements = graph.shape(graph.results[i]).with_batch(kCount).elements();
    gradients.insert(gradients.end(), result, result + elements);
  }
  return gradients;
}

void check_same_numbers(const Model& model) {
  for (const bool training : {false, true}) {
    INFO((training ? "training" : "inference"));
    const std::vector<double> plain = numbers(model, training, false), fused = numbers(model, training, true);
    REQUIRE(plain.size() == fused.size());
    for (std::size_t i = 0; i < plain.size(); ++i) {
      INFO("number " << i);
      CHECK(fused[i] == Approx(plain[i]).margin(1e-9));
    }
  }
}

}  // namespace

TEST_CASE("a residual block ends with one operation: normalize, add, rectify", "[graph][fuse]") {
  Branches net;
  const ValueId first = net.unary(Function::relu, net.norm(net.conv(net.x())));
  const ValueId second = net.norm(net.conv(first));
  const Model model = net.finish({net.unary(Function::relu, net.sum(second, first))});
  for (const bool training : {false, true}) {
    Graph graph = training ? training_graph(model, 1) : inference_graph(model);
    fuse(graph, training);
    CHECK(graph.nodes.size() == 4);
    CHECK(count(graph, Kind::conv2d) == 2);
    CHECK(graph.nodes.back().attributes.function == Function::relu);
    CHECK(graph.nodes.back().inputs.size() == 6);
  }
  check_same_numbers(model);
}

TEST_CASE("a shortcut that is made behind the normalization is added too", "[graph][fuse]") {
  Branches net;
  const ValueId body = net.norm(net.conv(net.x()));
  const ValueId shortcut = net.norm(net.conv(net.unary(Function::tanh, net.x())));
  const Model model = net.finish({net.unary(Function::relu6, net.sum(body, shortcut))});
  Graph graph = training_graph(model, 1);
  fuse(graph, true);
  CHECK(count(graph, Kind::binary) == 0);
  CHECK(graph.nodes.back().attributes.function == Function::relu6);
  check_same_numbers(model);
}

TEST_CASE("a block without a rectifier at its end adds in the same pass", "[graph][fuse]") {
  Branches net;
  const ValueId x = net.conv(net.x());
  const Model model = net.finish({net.sum(x, net.norm(net.conv(x)))});
  Graph graph = training_graph(model, 1);
  fuse(graph, true);
  CHECK(graph.nodes.size() == 3);
  check_same_numbers(model);
}

TEST_CASE("frozen normalizations add and rectify too", "[graph][fuse]") {
  Branches net;
  const ValueId x = net.conv(net.x());
  const Model model = net.finish({net.unary(Function::relu, net.sum(net.norm(net.conv(x), true), x))});
  Graph graph = training_graph(model, 1);
  fuse(graph, true);
  CHECK(graph.nodes.size() == 3);
  check_same_numbers(model);
}

TEST_CASE("what somebody else sees stays", "[graph][fuse]") {
  Branches net;
  const ValueId normal = net.norm(net.conv(net.x()));
  const ValueId both = net.sum(normal, net.x());
  const Model model = net.finish({net.unary(Function::relu, normal), net.unary(Function::relu, both), both});
  Graph graph = training_graph(model, 1);
  const std::size_t before = graph.nodes.size();
  fuse(graph, true);
  CHECK(graph.nodes.size() == before);
  check_same_numbers(model);
}

TEST_CASE("a rectifier within a branch is not moved behind its sum", "[graph][fuse]") {
  Branches net;
  const ValueId a = net.unary(Function::relu, net.norm(net.conv(net.x())));
  const ValueId b = net.unary(Function::relu6, net.norm(net.conv(net.x())));
  const Model model = net.finish({net.unary(Function::relu, net.sum(a, b))});
  Graph graph = training_graph(model, 1);
  fuse(graph, true);
  CHECK(graph.nodes.size() == 6);
  CHECK(count(graph, Kind::binary) == 1);
  check_same_numbers(model);
}

TEST_CASE("a rectifier in front of a maximum goes behind it when the graph trains", "[graph][fuse]") {
  Branches net;
  const ValueId conv = net.conv(net.x());
  const Model model = net.finish({net.max_pool(net.unary(Function::relu, conv))});
  Graph graph = training_graph(model, 1);
  fuse(graph, true);
  REQUIRE(graph.nodes.size() == 3);
  CHECK(graph.nodes[1].kind == Kind::max_pool);
  CHECK(graph.nodes[2].kind == Kind::unary);
  check_same_numbers(model);
}

TEST_CASE("a rectifier that somebody else sees stays in front of a maximum", "[graph][fuse]") {
  Branches net;
  const ValueId seen = net.unary(Function::relu, net.conv(net.x()));
  const Model model = net.finish({net.max_pool(seen), seen});
  Graph graph = training_graph(model, 1);
  fuse(graph, true);
  CHECK(graph.nodes.back().kind == Kind::max_pool);
  check_same_numbers(model);
}

}  // namespace trainyard::graph::test
