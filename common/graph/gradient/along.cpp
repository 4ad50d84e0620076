// Gradients of reductions and of softmax.
#include "common/graph/gradient/reverse.hpp"

namespace trainyard::graph {
namespace {

using ops::Arithmetic;
using ops::Function;
using ops::Reduction;

/// The shape of a reduction's result with the reduced axes kept as 1.
Shape kept(const Reverse& reverse, const Node& node) {
  Shape shape = reverse.shape(node.inputs[0]);
  for (const auto axis : node.attributes.axes) shape[static_cast<std::size_t>(axis)] = 1;
  return shape;
}

/// dy times the product of the other factors, of which one may be 0: then only it has a gradient.
ValueId product_gradient(Reverse& reverse, ValueId x, ValueId y, ValueId dy, const Shape& column) {
  const auto where = [&](ValueId condition, ValueId a, ValueId b, const Shape& shape) {
    return reverse.add(Kind::where, {}, {condition, a, b}, Signature(shape));
  };
  const auto count = [&](ValueId bytes) {
    Attributes real;
    real.type = DType::f32;
    return reverse.add(Kind::cast, real, {bytes}, Signature(reverse.shape(bytes)));
  };
  const Shape full = reverse.shape(x);
  const ValueId zero = reverse.scalar(0), one = reverse.scalar(1);
  const ValueId is_zero = reverse.binary(Arithmetic::equal, x, zero);
  const ValueId zeros = reverse.sum_to(count(is_zero), column);
  const ValueId without_zero = where(is_zero, one, x, full);
  Attributes attributes{.reduction = Reduction::product, .keep_dims = true};
  for (std::size_t axis = 0; axis < full.rank(); ++axis)
    if (column[axis] == 1 && full[axis] != 1) attributes.axes.push_back(static_cast<std::int64_t>(axis));
  const ValueId rest = attributes.axes.empty()
                           ? without_zero
                           : reverse.add(Kind::reduce, attributes, {without_zero}, Signature(column));
  // Without a zero y / x; with one, the product of the rest at its place; with more, 0.
  const ValueId alone = where(reverse.binary(Arithmetic::equal, zeros, one), rest, zero, column);
  const ValueId others = where(is_zero, alone, reverse.binary(Arithmetic::divide, y, without_zero), full);
  return reverse.binary(Arithmetic::multiply, dy, others);
}

/// dy / y; 0, a subgradient, where the length y is 0.
ValueId length_gradient(Reverse& reverse, ValueId y, ValueId dy) {
  const ValueId zero = reverse.scalar(0);
  return reverse.add(
      Kind::where, {},
      {reverse.binary(Arithmetic::equal, y, zero), zero, reverse.binary(Arithmetic::divide, dy, y)},
      reverse.signature(dy));
}

void reduce(Reverse& reverse, const Node& node, ValueId dy) {
  const ValueId x = node.inputs[0];
  if (!reverse.wanted(x)) return;
  const Shape column = kept(reverse, node), full = reverse.shape(x);
  const ValueId back = reverse.reshape(dy, column);
  const auto y = [&] { return reverse.reshape(node.outputs[0], column); };
  const auto times = [&](ValueId a, ValueId b) { return reverse.binary(Arithmetic::multiply, a, b); };
  switch (node.attributes.reduction) {
    case Reduction::sum:
      return reverse.contribute(x, reverse.expand(back, full));
    case Reduction::mean:
      return reverse.contribute(x, reverse.expand(back, full, Reduction::mean));
    case Reduction::maximum:
    case Reduction::minimum: {
      // Equal extremes share the gradient.
      const ValueId hit = reverse.binary(Arithmetic::equal, x, y());
      Attributes real;
      real.type = DType::f32;
      const ValueId mask = reverse.add(Kind::cast, real, {hit}, Signature(full));
      const ValueId share = reverse.binary(Arithmetic::divide, back, reverse.sum_to(mask, column));
      return reverse.contribute(x, times(mask, share));
    }
    case Reduction::product:
      return reverse.contribute(x, product_gradient(reverse, x, y(), back, column));
    case Reduction::l1:
      return reverse.contribute(x, times(reverse.unary(Function::sign, x), back));
    case Reduction::l2:
      return reverse.contribute(x, times(x, length_gradient(reverse, y(), back)));
    case Reduction::log_sum:
      return reverse.contribute(
          x,
          reverse.expand(reverse.binary(Arithmetic::divide, back, reverse.unary(Function::exp, y())), full));
    case Reduction::log_sum_exp:
      return reverse.contribute(
          x, times(reverse.unary(Function::exp, reverse.binary(Arithmetic::subtract, x, y())), back));
    case Reduction::sum_square:
      return reverse.contribute(x, times(x, times(back, reverse.scalar(2))));
  }
}

}  // namespace

bool along_gradient(Reverse& reverse, const Node& node) {
  const ValueId x = node.inputs.empty() ? kAbsent : node.inputs[0];
  switch (node.kind) {
    case Kind::reduce:
      reduce(reverse, node, reverse.gradient_of(node.outputs[0]));
      return true;
    case Kind::softmax:
    case Kind::log_softmax: {
      const Kind kind = node.kind == Kind::softmax ? Kind::softmax_grad : Kind::log_softmax_grad;
      if (reverse.wanted(x))
        reverse.contribute(
            x, reverse.add(kind, node.attributes, {node.outputs[0], reverse.gradient_of(node.outputs[0])},
                           reverse.signature(x)));
      return true;
    }
    case Kind::top_k: {
      Attributes place;
      place.axis = node.attributes.axis;
      if (reverse.wanted(x))
        reverse.contribute(x, reverse.add(Kind::scatter_elements, place,
                                          {reverse.zeros(reverse.signature(x)), node.outputs[1],
                                           reverse.gradient_of(node.outputs[0])},
                                          reverse.signature(x)));
      return true;
    }
    case Kind::cumulative_sum: {
      Attributes back = node.attributes;
      back.reverse = !back.reverse;
      if (reverse.wanted(x))
        reverse.contribute(x, reverse.add(Kind::cumulative_sum, back, {reverse.gradient_of(node.outputs[0])},
                                          reverse.signature(x)));
      return true;
    }
    default:
      return false;
  }
}

}  // namespace trainyard::graph
