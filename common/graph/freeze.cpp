#include "common/graph/freeze.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/base/check.hpp"
#include "common/graph/program.hpp"

namespace trainyard::graph {

namespace {

Constant constant_of(const Signature& of, std::span<const float> values) {
  Constant constant{of, std::vector<std::byte>(values.size_bytes())};
  if (!values.empty()) std::memcpy(constant.bytes.data(), values.data(), values.size_bytes());
  return constant;
}

bool is_constant(const Graph& graph, ValueId id) {
  return id == kAbsent || graph.values[id].place == Place::constant;
}

std::span<const float> floats(const Graph& graph, ValueId id) {
  const Constant& constant = graph.constants[graph.values[id].offset];
  return {reinterpret_cast<const float*>(constant.bytes.data()), constant.bytes.size() / sizeof(float)};
}

/// The node alone, as a graph of constants.
Result<std::vector<Constant>> evaluate(const Graph& graph, const Node& node, const ops::Backend& backend) {
  Graph alone;
  std::vector<ValueId> inputs;
  for (const ValueId id : node.inputs)
    inputs.push_back(id == kAbsent ? kAbsent : alone.constant(graph.constants[graph.values[id].offset]));
  std::vector<Signature> outputs;
  for (const ValueId id : node.outputs) outputs.push_back(graph.signature(id));
  alone.results = alone.add(node.kind, node.attributes, std::move(inputs), outputs, 0);
  auto program = Program::bind(alone, 1, backend);
  if (!program) return program.error();
  tensor::Buffer arena((*program)->arena_bytes());
  const Memory memory{.arena = arena.data()};
  (*program)->run(memory);
  std::vector<Constant> made;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const std::size_t bytes =
        static_cast<std::size_t>(outputs[i].shape.elements()) * tensor::size_of(outputs[i].type);
    Constant constant{outputs[i], std::vector<std::byte>(bytes)};
    if (bytes > 0) std::memcpy(constant.bytes.data(), (*program)->result(memory, i), bytes);
    made.push_back(std::move(constant));
  }
  return made;
}

bool foldable(const Graph& graph, const Node& node, std::size_t bytes_max) {
  if (node.inputs.empty()) return false;
  const bool given =
      std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) { return is_constant(graph, id); });
  return given && std::all_of(node.outputs.begin(), node.outputs.end(), [&](ValueId id) {
           const Signature& of = graph.signature(id);
           return !of.opaque && !of.shape.open() &&
                  static_cast<std::size_t>(of.shape.elements()) * tensor::size_of(of.type) <= bytes_max;
         });
}

void keep_nodes(Graph& graph, const std::vector<bool>& gone) {
  std::vector<Node> kept;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i)
    if (!gone[i]) kept.push_back(std::move(graph.nodes[i]));
  graph.nodes = std::move(kept);
}

}  // namespace

void freeze(Graph& graph, std::span<const float> values) {
  for (Value& value : graph.values) {
    if (value.place != Place::parameter) continue;
    const auto count = static_cast<std::size_t>(value.of.shape.elements());
    check(value.offset + count <= values.size(), "a model's values hold all of its parameters");
    graph.constants.push_back(constant_of(value.of, values.subspan(value.offset, count)));
    value.place = Place::constant;
    value.offset = graph.constants.size() - 1;
    value.trainable = false;
  }
}

Status fold(Graph& graph, std::size_t bytes_max) {
  const auto backend = ops::reference_backend<float>();
  std::vector<bool> gone(graph.nodes.size(), false);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    if (!foldable(graph, node, bytes_max)) continue;
    auto made = evaluate(graph, node, *backend);
    if (!made) return made.error();
    for (std::size_t k = 0; k < node.outputs.size(); ++k) {
      Value& value = graph.values[node.outputs[k]];
      graph.constants.push_back(std::move((*made)[k]));
      value.place = Place::constant;
      value.offset = graph.constants.size() - 1;
    }
    gone[i] = true;
  }
  keep_nodes(graph, gone);
  return {};
}

namespace {

/// y = (W x + b - mean) s + beta with s = gamma / sqrt(variance + epsilon): weights W s, bias (b - mean) s +
/// beta.
void fold_into(Graph& graph, std::size_t linear, const Node& norm) {
  const auto gamma = floats(graph, norm.inputs[1]), beta = floats(graph, norm.inputs[2]);
  const auto mean = floats(graph, norm.inputs[3]), variance = floats(graph, norm.inputs[4]);
  const std::vector<ValueId> in = graph.nodes[linear].inputs;
  const auto weights = floats(graph, in[1]);
  const std::size_t units = gamma.size(), row = weights.size() / units;
  std::vector<float> folded(weights.size()), bias(units);
  for (std::size_t o = 0; o < units; ++o) {
    const double scale = gamma[o] / std::sqrt(static_cast<double>(variance[o]) + norm.attributes.epsilon);
    for (std::size_t i = o * row; i < (o + 1) * row; ++i) folded[i] = static_cast<float>(weights[i] * scale);
    const double before = in.size() > 2 && in[2] != kAbsent ? floats(graph, in[2])[o] : 0.0;
    bias[o] = static_cast<float>((before - mean[o]) * scale + beta[o]);
  }
  const ValueId w = graph.constant(constant_of(graph.signature(in[1]), folded));
  const ValueId b = graph.constant(constant_of(graph.signature(norm.inputs[1]), bias));
  graph.nodes[linear].inputs = {in[0], w, b};
  graph.nodes[linear].outputs[0] = norm.outputs[0];
  graph.nodes[linear].attributes.activation = norm.attributes.function;
}

}  // namespace

void fold_batch_norm(Graph& graph) {
  const std::vector<std::uint32_t> count = uses(graph);
  std::vector<std::size_t> maker(graph.values.size(), SIZE_MAX);
  std::vector<bool> gone(graph.nodes.size(), false);
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node norm = graph.nodes[i];
    for (const ValueId id : norm.outputs) maker[id] = i;
    if (norm.kind != Kind::batch_norm || norm.inputs.size() != 5 || count[norm.inputs[0]] != 1) continue;
    const std::size_t at = maker[norm.inputs[0]];
    if (at == SIZE_MAX) continue;
    const Node& linear = graph.nodes[at];
    const bool fits = (linear.kind == Kind::conv2d ||
                       (linear.kind == Kind::dense && graph.shape(linear.outputs[0]).rank() == 2)) &&
                      linear.inputs.size() <= 3 && linear.attributes.activation == ops::Function::identity;
    const auto constant = [&](ValueId id) { return is_constant(graph, id); };
    if (!fits || !std::all_of(linear.inputs.begin() + 1, linear.inputs.end(), constant) ||
        !std::all_of(norm.inputs.begin() + 1, norm.inputs.end(), constant))
      continue;
    fold_into(graph, at, norm);
    maker.resize(graph.values.size(), SIZE_MAX);
    maker[norm.outputs[0]] = at;
    gone[i] = true;
  }
  keep_nodes(graph, gone);
}

void drop_unused(Graph& graph) {
  std::vector<bool> needed(graph.values.size(), false), gone(graph.nodes.size(), false);
  for (const ValueId id : graph.results) needed[id] = true;
  for (std::size_t i = graph.nodes.size(); i-- > 0;) {
    const Node& node = graph.nodes[i];
    // What writes outside the arena is wanted for that.
    gone[i] = std::none_of(node.outputs.begin(), node.outputs.end(),
                           [&](ValueId id) { return needed[id] || graph.values[id].place != Place::arena; });
    if (gone[i]) continue;
    for (const ValueId id : node.inputs)
      if (id != kAbsent) needed[id] = true;
  }
  keep_nodes(graph, gone);
}

}  // namespace trainyard::graph
