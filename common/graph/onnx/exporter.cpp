// From a model to a file: what a prediction runs, node by node. Operators are those of onnx/defs, operator
// set 17.
#include <algorithm>

#include "common/graph/freeze.hpp"
#include "common/graph/loss.hpp"
#include "common/graph/network.hpp"
#include "common/graph/onnx/equal_bags.hpp"
#include "common/graph/onnx/onnx.hpp"
#include "common/graph/onnx/writer.hpp"

namespace trainyard::graph {
namespace onnx_file {
namespace {

Status write(Writer& writer, const Node& node) {
  for (const auto family : {write_linear, write_norm, write_elementwise, write_along, write_movement,
                            write_index, write_sequence}) {
    const auto written = family(writer, node);
    if (!written) return written.error().with(name_of(node.kind));
    if (*written) return {};
  }
  return Error{Errc::refused, format("{} has no counterpart in ONNX", name_of(node.kind))};
}

Result<std::string> export_source(const Source& source) {
  const std::uint64_t bytes = source.values.size() * sizeof(float);
  if (bytes > kOnnxBytesMax)
    return Error{Errc::refused, format("ONNX files end at {}, the weights take {}", size_text(kOnnxBytesMax),
                                       size_text(bytes))};
  Writer writer(source);
  for (const Node& node : source.graph.nodes) {
    const Status done = write(writer, node);
    if (done) continue;
    const Origin& origin = source.graph.origins[node.origin];
    return origin.place.empty() ? done.error() : done.error().with(origin.place);
  }
  return writer.finish();
}

}  // namespace
}  // namespace onnx_file

Result<std::string> export_onnx(const Model& model, std::span<const float> values) {
  check(values.size() == model.length, "an export has the values of all tensors");
  Graph graph = inference_graph(model);
  onnx_file::unroll_equal_bags(graph);
  return onnx_file::export_source({graph, model.tensors, values, model.result_names});
}

Result<std::string> to_onnx(Network& network) {
  const Model& model = network.model();
  Graph graph = inference_graph(model);
  std::vector<std::string> names{"emissions", "transitions"};
  const Kind loss = network.loss().kind;
  if (loss == Kind::crf_loss) {
    graph.results.resize(std::min<std::size_t>(graph.results.size(), 2));
  } else {
    if (const Status done = add_prediction(graph, network.loss()); !done) return done.error();
    graph.results.resize(1);
    const bool shares = loss == Kind::softmax_cross_entropy || loss == Kind::sigmoid_cross_entropy;
    names = {shares ? "probabilities" : "output"};
  }
  drop_unused(graph);
  onnx_file::unroll_equal_bags(graph);
  return onnx_file::export_source({graph, model.tensors, network.values(), std::move(names)});
}

}  // namespace trainyard::graph
