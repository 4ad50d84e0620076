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

/// 1 where an update is the last of its place, whose value stays; bytes.
ValueId last_updates(Reverse& reverse, const Attributes& along, ValueId x, ValueId index) {
  const Shape shape = reverse.shape(index);
  const Signature whole(shape, DType::i64);
  Attributes first;
  first.axis = 0;
  const ValueId flat =
      reverse.reshape(reverse.expand(reverse.unit(DType::i64, true), shape), Shape{shape.volume()});
  const ValueId numbers =
      reverse.reshape(reverse.add(Kind::cumulative_sum, first, {flat}, reverse.signature(flat)), shape);
  const Signature places(reverse.shape(x), DType::i64);
  const ValueId kept =
      reverse.add(Kind::scatter_elements, along, {reverse.zeros(places), index, numbers}, places);
  return reverse.binary(ops::Arithmetic::equal,
                        reverse.add(Kind::gather_elements, along, {kept, index}, whole), numbers);
}

void scatter_elements(Reverse& reverse, const Node& node, ValueId dy) {
  const ValueId x = node.inputs[0], index = node.inputs[1], updates = node.inputs[2];
  const bool accumulate = node.attributes.accumulate;
  Attributes along;
  along.axis = node.attributes.axis;
  if (reverse.wanted(x)) {
    const Signature of = reverse.signature(x);
    const ValueId hidden =
        accumulate ? dy
                   : reverse.add(Kind::scatter_elements, along,
                                 {dy, index, reverse.zeros(Signature(reverse.shape(index)))}, Signature(of));
    reverse.contribute(x, hidden);
  }
  if (!reverse.wanted(updates)) return;
  const Signature of = reverse.signature(updates);
  ValueId taken = reverse.add(Kind::gather_elements, along, {dy, index}, of);
  if (!accumulate)
    taken =
        reverse.add(Kind::where, {}, {last_updates(reverse, along, x, index), taken, reverse.scalar(0)}, of);
  reverse.contribute(updates, taken);
}

void gather_elements(Reverse& reverse, const Node& node, ValueId dy) {
  const Signature of = reverse.signature(node.inputs[0]);
  Attributes along;
  along.axis = node.attributes.axis;
  along.accumulate = true;
  reverse.contribute(node.inputs[0],
                     reverse.add(Kind::scatter_elements, along, {reverse.zeros(of), node.inputs[1], dy}, of));
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
      if (reverse.wanted(x))
        reverse.contribute(x, reverse.sum_to(dy(), reverse.shape(x), node.attributes.reduction));
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
    case Kind::gather_elements:
      if (reverse.wanted(x)) gather_elements(reverse, node, dy());
      return true;
    case Kind::scatter_elements:
      scatter_elements(reverse, node, dy());
      return true;
    case Kind::gather:
      if (reverse.as_rows(x)) {
        reverse.contribute_rows(x, Kind::gather_grad_rows, node.attributes, {dy(), node.inputs[1]});
        return true;
      }
      return mirror(Kind::gather_grad, {dy(), node.inputs[1]});
    default:
      return false;
  }
}

}  // namespace trainyard::graph
