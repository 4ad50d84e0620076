// Self-attention whose heads lie side by side: the pass finds it, and leaves other attention alone.
#include "common/graph/join_heads.hpp"

#include <catch2/catch.hpp>

#include "common/graph/compose/composer.hpp"
#include "tests/support/gradient_check.hpp"

namespace trainyard::graph {
namespace {

std::size_t count(const Graph& graph, Kind kind) {
  std::size_t found = 0;
  for (const Node& node : graph.nodes) found += node.kind == kind ? 1 : 0;
  return found;
}

Graph encoder(bool masked, bool same) {
  Composer net(4);
  const ValueId x = net.input("x", Signature({tensor::kBatch, 6, 8}));
  const ValueId lengths = net.input("lengths", {Shape{tensor::kBatch}, DType::i32});
  Attention attention{.heads = 2};
  if (masked) attention.mask = net.score_mask(lengths, 6);
  const ValueId other = same ? x : net.relu(x);
  const ValueId y = net.multi_head_attention(x, other, other, "a", attention);
  auto model = std::move(net).finish({y});
  if (!model) FAIL(model.error().message);
  return model->graph;
}

}  // namespace

TEST_CASE("self-attention over one projection becomes one operation, masked or not", "[join_heads]") {
  for (const bool masked : {false, true}) {
    Graph graph = encoder(masked, true);
    const std::size_t before = graph.nodes.size();
    join_heads(graph);
    CHECK(count(graph, Kind::self_attention) == 1);
    CHECK(count(graph, Kind::attention) + count(graph, Kind::transpose) + count(graph, Kind::slice) == 0);
    CHECK(graph.nodes.size() ==
          before - 11);  // three times slice, reshape, transpose; a transpose, a reshape
  }
}

TEST_CASE("attention of different operands stays as it is", "[join_heads]") {
  Graph graph = encoder(true, false);
  const std::size_t before = graph.nodes.size();
  join_heads(graph);
  CHECK(count(graph, Kind::attention) == 1);
  CHECK(graph.nodes.size() == before);
}

TEST_CASE("attention of which another part is used stays as it is", "[join_heads]") {
  for (const int which : {0, 1, 2}) {
    Graph graph = encoder(false, true);
    for (const Node& node : graph.nodes) {
      if (which == 0 && node.kind == Kind::slice) graph.results.push_back(node.outputs[0]);
      if (which == 1 && node.kind == Kind::attention) graph.results.push_back(node.outputs[1]);
      if (which == 2 && node.kind == Kind::attention) graph.results.push_back(node.outputs[0]);
    }
    join_heads(graph);
    CHECK(count(graph, Kind::attention) == 1);
  }
}

TEST_CASE("the gradients of joined heads are slopes", "[join_heads]") {
  test::GradientCase at;
  at.build = [](Builder& builder) -> std::vector<ValueId> {
    const ValueId x = test::weight(builder, "x", {2, 4, 12});
    Attributes turn, back, attention;
    turn.axes = {0, 2, 1, 3};
    back.dims = {2, 4, 4};
    attention.alpha = 0.7;
    std::vector<ValueId> heads;
    for (const std::int64_t third : {0, 1, 2}) {
      Attributes cut, split;
      cut.axes = {2};
      cut.starts = {third * 4};
      cut.ends = {third * 4 + 4};
      cut.steps = {1};
      split.dims = {2, 4, 2, 2};
      const ValueId part = test::apply(builder, Kind::slice, cut, {x});
      heads.push_back(
          test::apply(builder, Kind::transpose, turn, {test::apply(builder, Kind::reshape, split, {part})}));
    }
    const ValueId y = test::apply(builder, Kind::attention, attention, heads);
    return {test::apply(builder, Kind::reshape, back, {test::apply(builder, Kind::transpose, turn, {y})})};
  };
  at.change = [](Graph& graph) { join_heads(graph); };
  const Graph graph = test::check_gradients(at);
  CHECK(count(graph, Kind::self_attention_grad) == 1);
}

}  // namespace trainyard::graph
