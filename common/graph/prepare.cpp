#include "common/graph/prepare.hpp"

#include "common/graph/autodiff.hpp"
#include "common/graph/fuse.hpp"

namespace trainyard::graph {

Result<Graph> graph_to_train(const Model& model, const LossSpec& loss, std::uint64_t seed,
                             RowGradients rows) {
  Graph graph = training_graph(model, seed);
  fuse(graph, true);
  if (const Status done = differentiate(graph, loss, rows); !done) return done.error();
  return graph;
}

Result<Graph> graph_to_predict(const Model& model, const LossSpec& loss) {
  Graph graph = inference_graph(model);
  fuse(graph, false);
  if (const Status done = add_prediction(graph, loss); !done) return done.error();
  return graph;
}

}  // namespace trainyard::graph
