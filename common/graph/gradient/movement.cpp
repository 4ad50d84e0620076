// Gradients of operations that move elements: they move back.
#include "common/graph/gradient/reverse.hpp"

namespace trainyard::graph {
namespace {

void transpose(Reverse& reverse, const Node& node, ValueId dy) {
  Attributes back;
  back.axes.resize(node.attributes.axes.size());
  for (std::size_t i = 0; i < back.axes.size(); ++i)
    back.axes[static_cast<std::size_t>(node.attributes.axes[i])] = static_cast<std::int64_t>(i);
  reverse.contribute(node.inputs[0],
                     reverse.add(Kind::transpose, back, {dy}, reverse.signature(node.inputs[0])));
}

void concat(Reverse& reverse, const Node& node, ValueId dy) {
  const auto axis = static_cast<std::size_t>(node.attributes.axis);
  std::int64_t at = 0;
  for (const ValueId x : node.inputs) {
    const std::int64_t extent = reverse.shape(x)[axis];
    if (reverse.wanted(x)) {
      Attributes part;
      part.axes = {node.attributes.axis};
      part.starts = {at};
      part.ends = {at + extent};
      part.steps = {1};
      reverse.contribute(x, reverse.add(Kind::slice, part, {dy}, reverse.signature(x)));
    }
    at += extent;
  }
}

}  // namespace

bool movement_gradient(Reverse& reverse, const Node& node) {
  const ValueId x = node.inputs.empty() ? kAbsent : node.inputs[0];
  const auto mirror = [&](Kind kind, std::vector<ValueId> inputs) {
    if (reverse.wanted(x))
      reverse.contribute(x, reverse.add(kind, node.attributes, std::move(inputs), reverse.signature(x)));
    return true;
  };
  const auto dy = [&] { return reverse.gradient_of(node.outputs[0]); };
  switch (node.kind) {
    case Kind::reshape:
      if (reverse.wanted(x)) reverse.contribute(x, reverse.reshape(dy(), reverse.shape(x)));
      return true;
    case Kind::expand:
      if (reverse.wanted(x)) reverse.contribute(x, reverse.sum_to(dy(), reverse.shape(x)));
      return true;
    case Kind::transpose:
      if (reverse.wanted(x)) transpose(reverse, node, dy());
      return true;
    case Kind::concat:
      concat(reverse, node, dy());
      return true;
    case Kind::slice:
      return mirror(Kind::slice_grad, {dy()});
    case Kind::pad:
      return mirror(Kind::pad_grad, {dy()});
    case Kind::resize:
      return mirror(Kind::resize_grad, {dy()});
    case Kind::gather:
      return mirror(Kind::gather_grad, {dy(), node.inputs[1]});
    default:
      return false;
  }
}

}  // namespace trainyard::graph
