// Gradients of bags, recurrent cells and attention; and which kinds have a gradient at all.
#include "common/graph/gradient/reverse.hpp"

namespace trainyard::graph {
namespace {

/// Operands of `node` that may be absent, as its gradient takes them.
ValueId at(const std::vector<ValueId>& ids, std::size_t index) {
  return index < ids.size() ? ids[index] : kAbsent;
}

void recurrent(Reverse& reverse, const Node& node) {
  const auto& in = node.inputs;
  const auto& out = node.outputs;
  const bool lstm = node.attributes.cell == ops::Cell::lstm;
  const ValueId bias = at(in, 3), h0 = at(in, 5), c0 = at(in, 6);
  const std::vector<ValueId> inputs{in[0],
                                    in[1],
                                    in[2],
                                    bias,
                                    at(in, 4),
                                    h0,
                                    c0,
                                    out[0],
                                    out.back(),
                                    reverse.gradient_of(out[0]),
                                    reverse.gradient_of(out[1]),
                                    lstm ? reverse.gradient_of(out[2]) : kAbsent};
  std::vector<ValueId> targets{in[0], in[1], in[2]};
  for (const ValueId optional : {bias, h0, c0})
    if (optional != kAbsent) targets.push_back(optional);
  std::vector<Signature> outputs;
  for (const ValueId target : targets) outputs.push_back(reverse.signature(target));
  const auto made = reverse.add_all(Kind::recurrent_grad, node.attributes, inputs, outputs);
  for (std::size_t i = 0; i < targets.size(); ++i) reverse.contribute(targets[i], made[i]);
}

void attention(Reverse& reverse, const Node& node, ValueId dy) {
  const auto& in = node.inputs;
  std::vector<Signature> outputs;
  for (std::size_t i = 0; i < 3; ++i) outputs.push_back(reverse.signature(in[i]));
  const auto made =
      reverse.add_all(Kind::attention_grad, node.attributes,
                      {in[0], in[1], in[2], at(in, 3), node.outputs[0], node.outputs[1], dy}, outputs);
  for (std::size_t i = 0; i < 3; ++i) reverse.contribute(in[i], made[i]);
}

}  // namespace

bool sequence_gradient(Reverse& reverse, const Node& node) {
  switch (node.kind) {
    case Kind::recurrent:
      recurrent(reverse, node);
      return true;
    case Kind::attention:
      attention(reverse, node, reverse.gradient_of(node.outputs[0]));
      return true;
    case Kind::self_attention:
      if (reverse.wanted(node.inputs[0]))
        reverse.contribute(node.inputs[0],
                           reverse.add(Kind::self_attention_grad, node.attributes,
                                       {node.inputs[0], at(node.inputs, 1), node.outputs[0], node.outputs[1],
                                        reverse.gradient_of(node.outputs[0])},
                                       reverse.signature(node.inputs[0])));
      return true;
    case Kind::embedding_bag:
      if (reverse.as_rows(node.inputs[0]))
        reverse.contribute_rows(node.inputs[0], Kind::embedding_bag_grad_rows, node.attributes,
                                {reverse.gradient_of(node.outputs[0]), node.inputs[1], node.inputs[2]});
      else if (reverse.wanted(node.inputs[0]))
        reverse.contribute(node.inputs[0],
                           reverse.add(Kind::embedding_bag_grad, node.attributes,
                                       {reverse.gradient_of(node.outputs[0]), node.inputs[1], node.inputs[2]},
                                       reverse.signature(node.inputs[0])));
      return true;
    default:
      return false;
  }
}

bool has_gradient(const Graph& graph, const Node& node) {
  switch (node.kind) {
    case Kind::unary:
      return ops::has_gradient(node.attributes.function);
    case Kind::binary:
      return !ops::is_comparison(node.attributes.arithmetic) &&
             node.attributes.arithmetic != ops::Arithmetic::modulo &&
             node.attributes.arithmetic != ops::Arithmetic::f_modulo;
    case Kind::cast:
      return tensor::is_real(graph.signature(node.outputs[0]).type);
    case Kind::concat:
      // The parts of a batch cannot be cut out again: only the batch size says where they begin.
      return graph.shape(node.outputs[0])[static_cast<std::size_t>(node.attributes.axis)] >= 0;
    case Kind::arg_extreme:
    case Kind::one_hot:
    case Kind::viterbi:
      return false;
    default:
      return true;
  }
}

}  // namespace trainyard::graph
