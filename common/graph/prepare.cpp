#include "common/graph/prepare.hpp"

#include "common/graph/autodiff.hpp"
#include "common/graph/finite.hpp"
#include "common/graph/freeze.hpp"
#include "common/graph/fuse.hpp"
#include "common/graph/join_heads.hpp"
#include "common/graph/narrow.hpp"
#include "common/graph/recompute.hpp"

namespace trainyard::graph {

namespace {

/// Weights that are cast already: the casts themselves see no run.
Status check_fp16(const Graph& graph) {
  for (const Constant& constant : graph.constants)
    if (constant.of.type == DType::f16 && !all_finite_fp16(constant.bytes.data(), constant.bytes.size()))
      return Error{Errc::refused, "a weight is larger than fp16 holds; use bf16 or fp32"};
  return {};
}

}  // namespace

namespace {

void apply(Narrow narrow, Graph& graph) {
  if (narrow.type != DType::f32) graph::narrow(graph, narrow.type, narrow.images);
}

}  // namespace

Result<Graph> graph_to_train(const Model& model, const LossSpec& loss, std::uint64_t seed,
                             const TrainingPasses& passes) {
  Graph graph = training_graph(model, seed);
  fuse(graph, true);
  join_heads(graph);
  const std::size_t forward = graph.nodes.size();
  if (const Status done = differentiate(graph, loss, passes.rows); !done) return done.error();
  if (passes.low_memory) recompute(graph, forward);
  apply(passes.narrow, graph);
  return graph;
}

Result<Graph> graph_to_predict(const Model& model, const LossSpec& loss, Narrow narrow) {
  Graph graph = inference_graph(model);
  fuse(graph, false);
  join_heads(graph);
  if (const Status done = add_prediction(graph, loss); !done) return done.error();
  apply(narrow, graph);
  return graph;
}

Result<Graph> graph_to_predict_frozen(const Model& model, const LossSpec& loss, std::span<const float> values,
                                      Narrow narrow) {
  Graph graph = inference_graph(model);
  freeze(graph, values);
  if (const Status folded = fold(graph); !folded) return folded.error();
  fold_batch_norm(graph);
  fuse(graph, false);
  join_heads(graph);
  if (const Status done = add_prediction(graph, loss); !done) return done.error();
  drop_unused(graph);
  if (narrow.type == DType::f32) return graph;
  apply(narrow, graph);
  if (const Status folded = fold(graph); !folded) return folded.error();
  if (const Status held = check_fp16(graph); !held) return held.error();
  return graph;
}

}  // namespace trainyard::graph
