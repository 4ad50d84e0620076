#include "common/graph/graph.hpp"

#include <cstring>

namespace trainyard::graph {

std::vector<ValueId> Graph::add(Kind kind, Attributes attributes, std::vector<ValueId> inputs,
                                const std::vector<Signature>& outputs, std::uint32_t origin) {
  Node node{kind, std::move(attributes), std::move(inputs), {}, origin};
  for (const Signature& signature : outputs) node.outputs.push_back(add({signature}));
  nodes.push_back(std::move(node));
  return nodes.back().outputs;
}

ValueId Graph::external(std::string name, Signature of, std::size_t bytes) {
  externals.push_back({std::move(name), of, bytes});
  return add({std::move(of), Place::external, externals.size() - 1});
}

ValueId Graph::constant(Constant value) {
  constants.push_back(std::move(value));
  return add({constants.back().of, Place::constant, constants.size() - 1});
}

ValueId Graph::scalar(float value) {
  Constant constant{Signature(Shape{}), std::vector<std::byte>(sizeof(value))};
  std::memcpy(constant.bytes.data(), &value, sizeof(value));
  return this->constant(std::move(constant));
}

std::vector<std::uint32_t> uses(const Graph& graph) {
  std::vector<std::uint32_t> counts(graph.values.size(), 0);
  for (const Node& node : graph.nodes)
    for (const ValueId id : node.inputs)
      if (id != kAbsent) ++counts[id];
  for (const ValueId id : graph.results) ++counts[id];
  return counts;
}

}  // namespace trainyard::graph
