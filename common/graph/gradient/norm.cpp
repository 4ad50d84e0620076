// Gradients of normalizations.
#include "common/graph/gradient/reverse.hpp"

namespace trainyard::graph {
namespace {

using ops::Arithmetic;

void batch_norm_training(Reverse& reverse, const Node& node, ValueId dy) {
  const auto& in = node.inputs;
  const auto& out = node.outputs;
  std::vector<ValueId> inputs{in[0], dy, out[1], out[2], in[1]};
  if (node.attributes.function != ops::Function::identity) inputs.push_back(out[3]);
  const Signature per_channel = reverse.signature(in[1]);
  std::vector<Signature> outputs{reverse.signature(in[0]), per_channel, per_channel};
  const bool rectified = node.attributes.function != ops::Function::identity;
  if (in.size() > 5 && rectified) outputs.push_back(reverse.signature(in[5]));
  const auto made = reverse.add_all(Kind::batch_norm_grad, node.attributes, std::move(inputs), outputs);
  reverse.contribute(in[0], made[0]);
  reverse.contribute(in[1], made[1]);
  reverse.contribute(in[2], made[2]);
  if (in.size() > 5) reverse.contribute(in[5], rectified ? made[3] : dy);
}

/// With frozen statistics y = (x - mean) scale + beta, scale = gamma / sqrt(variance + epsilon).
void batch_norm_frozen(Reverse& reverse, const Node& node, ValueId dy) {
  const auto& in = node.inputs;
  if (node.attributes.function != ops::Function::identity)
    dy = reverse.add(Kind::unary_grad, {.function = node.attributes.function}, {kAbsent, node.outputs[0], dy},
                     reverse.signature(dy));
  if (in.size() > 5) reverse.contribute(in[5], dy);
  Shape column = reverse.shape(in[0]);
  for (std::size_t axis = 0; axis < column.rank(); ++axis)
    if (axis != 1) column[axis] = 1;
  const ValueId epsilon = reverse.scalar(static_cast<float>(node.attributes.epsilon));
  const ValueId inverse =
      reverse.unary(ops::Function::reciprocal,
                    reverse.unary(ops::Function::sqrt, reverse.binary(Arithmetic::add, in[4], epsilon)));
  if (reverse.wanted(in[0])) {
    const ValueId scale = reverse.reshape(reverse.binary(Arithmetic::multiply, in[1], inverse), column);
    reverse.contribute(in[0], reverse.binary(Arithmetic::multiply, dy, scale));
  }
  if (reverse.wanted(in[1])) {
    const ValueId off = reverse.binary(Arithmetic::subtract, in[0], reverse.reshape(in[3], column));
    const ValueId normal = reverse.binary(Arithmetic::multiply, off, reverse.reshape(inverse, column));
    const ValueId sum = reverse.sum_to(reverse.binary(Arithmetic::multiply, dy, normal), column);
    reverse.contribute(in[1], reverse.reshape(sum, reverse.shape(in[1])));
  }
  if (reverse.wanted(in[2]))
    reverse.contribute(in[2], reverse.reshape(reverse.sum_to(dy, column), reverse.shape(in[2])));
}

void scaled_norm(Reverse& reverse, const Node& node, ValueId dy, Kind kind) {
  const auto& in = node.inputs;
  std::vector<ValueId> inputs{in[0], dy, node.outputs[1], node.outputs[2]};
  std::vector<Signature> outputs{reverse.signature(in[0])};
  if (in.size() > 1) inputs.push_back(in[1]);
  for (std::size_t i = 1; i < in.size(); ++i) outputs.push_back(reverse.signature(in[i]));
  const auto made = reverse.add_all(kind, node.attributes, std::move(inputs), outputs);
  for (std::size_t i = 0; i < in.size(); ++i) reverse.contribute(in[i], made[i]);
}

}  // namespace

bool norm_gradient(Reverse& reverse, const Node& node) {
  switch (node.kind) {
    case Kind::batch_norm_training:
      batch_norm_training(reverse, node, reverse.gradient_of(node.outputs[0]));
      return true;
    case Kind::batch_norm:
      batch_norm_frozen(reverse, node, reverse.gradient_of(node.outputs[0]));
      return true;
    case Kind::layer_norm:
      scaled_norm(reverse, node, reverse.gradient_of(node.outputs[0]), Kind::layer_norm_grad);
      return true;
    case Kind::group_norm:
      scaled_norm(reverse, node, reverse.gradient_of(node.outputs[0]), Kind::group_norm_grad);
      return true;
    case Kind::lrn:
      reverse.contribute(node.inputs[0], reverse.add(Kind::lrn_grad, node.attributes,
                                                     {node.inputs[0], reverse.gradient_of(node.outputs[0])},
                                                     reverse.signature(node.inputs[0])));
      return true;
    default:
      return false;
  }
}

}  // namespace trainyard::graph
