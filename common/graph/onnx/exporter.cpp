// From a model to a file: what a prediction runs, node by node. Operators are those of onnx/defs, operator
// set 17.
#include "common/graph/network.hpp"
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
  const Graph graph = inference_graph(model);
  return onnx_file::export_source({graph, model.tensors, values, model.result_names});
}

Result<std::string> to_onnx(Network& network) {
  const Model& model = network.model();
  Graph graph = inference_graph(model);
  const ValueId x = graph.results[0];
  const std::uint32_t origin = graph.nodes.empty() ? 0 : graph.nodes.back().origin;
  graph.results = {graph.add(Kind::softmax, {.axis = 1}, {x}, {graph.signature(x)}, origin)[0]};
  return onnx_file::export_source({graph, model.tensors, network.values(), {"probabilities"}});
}

}  // namespace trainyard::graph
