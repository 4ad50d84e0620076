// libFuzzer: whatever the bytes are, import gives a model or an error; what import gave can be exported, and
// where it is small it predicts, by the oracle's plain loops.
#include <cstdint>

#include "common/graph/fuse.hpp"
#include "common/graph/inspect.hpp"
#include "common/graph/onnx/onnx.hpp"
#include "common/graph/program.hpp"

namespace {

using namespace trainyard;
using namespace trainyard::graph;

constexpr std::uint32_t batch = 2;
constexpr double flops_max = 1e6;
constexpr std::size_t bytes_max = 4u << 20;

/// An index that is computed may point outside, which ends a program: that is the contract of the kernels.
bool looks_up_what_it_computes(const Graph& graph) {
  for (const Node& node : graph.nodes) {
    const bool looks_up = node.kind == Kind::gather || node.kind == Kind::gather_elements ||
                          node.kind == Kind::scatter_elements || node.kind == Kind::embedding_bag;
    for (std::size_t i = looks_up ? 1 : node.inputs.size(); i < node.inputs.size(); ++i) {
      const Value& index = graph.values[node.inputs[i]];
      if (index.of.type != DType::f32 && index.place == Place::arena) return true;
    }
  }
  return false;
}

void predict(const Model& model, const std::vector<float>& values) {
  if (inspect(model).all.work.flops() > flops_max) return;
  Graph graph = inference_graph(model);
  fuse(graph, false);
  if (looks_up_what_it_computes(graph)) return;
  for (const Value& value : graph.values)
    if (value.of.shape.with_batch(batch).elements() > static_cast<std::int64_t>(bytes_max / 8)) return;
  static const auto backend = ops::reference_backend<float>();
  const auto program = Program::bind(graph, batch, *backend);
  if (!program || (*program)->arena_bytes() > bytes_max) return;
  std::vector<tensor::Buffer> inputs;
  std::vector<void*> externals;
  for (const External& external : graph.externals) {
    const Signature of = external.of.with_batch(batch);
    inputs.emplace_back(static_cast<std::size_t>(of.shape.elements()) * 8);
    if (of.type == DType::f32)
      for (float& value : inputs.back().floats()) value = 0.5F;
  }
  for (tensor::Buffer& input : inputs) externals.push_back(input.data());
  tensor::Buffer arena((*program)->arena_bytes());
  (*program)->run({arena.data(), values.data(), nullptr, externals});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto model = import_onnx({reinterpret_cast<const char*>(data), size});
  if (!model || model->length > (1u << 20)) return 0;
  std::vector<float> values;
  draw_initial(*model, 1, values);
  (void)export_onnx(*model, values);
  predict(*model, values);
  return 0;
}
