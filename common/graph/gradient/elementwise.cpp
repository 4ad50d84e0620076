// Gradients of elementwise operations. Operands that were stretched get the sum over the stretched axes.
#include <cstring>
#include <optional>

#include "common/graph/gradient/reverse.hpp"

namespace trainyard::graph {
namespace {

using ops::Arithmetic;
using ops::Function;

/// The value of a real constant of one element.
std::optional<float> scalar_constant(const Graph& graph, ValueId id) {
  const Value& value = graph.values[id];
  if (value.place != Place::constant || value.of.type != DType::f32 || value.of.shape.elements() != 1)
    return std::nullopt;
  float number = 0;
  std::memcpy(&number, graph.constants[value.offset].bytes.data(), sizeof(number));
  return number;
}

void unary(Reverse& reverse, const Node& node, ValueId dy) {
  const ValueId x = node.inputs[0];
  if (!reverse.wanted(x)) return;
  if (node.attributes.function == Function::identity) return reverse.contribute(x, dy);
  if (node.attributes.function == Function::negate)
    return reverse.contribute(x, reverse.unary(Function::negate, dy));
  const ops::GradNeeds needs = ops::grad_needs(node.attributes.function);
  reverse.contribute(
      x, reverse.add(Kind::unary_grad, node.attributes,
                     {needs.x ? x : kAbsent, needs.y ? node.outputs[0] : kAbsent, dy}, reverse.signature(x)));
}

/// dy where `mask`, else 0.
ValueId masked(Reverse& reverse, ValueId mask, ValueId dy) {
  return reverse.add(Kind::where, {}, {mask, dy, reverse.scalar(0)}, reverse.signature(dy));
}

/// dy b a^(b - 1); 0 where b is 0, whatever a is.
ValueId base_gradient(Reverse& reverse, ValueId a, ValueId b, ValueId dy) {
  const auto times = [&](ValueId left, ValueId right) {
    return reverse.binary(Arithmetic::multiply, left, right);
  };
  if (const std::optional<float> power = scalar_constant(reverse.graph(), b)) {
    if (*power == 0) return times(dy, reverse.scalar(0));
    const ValueId scaled = times(dy, reverse.scalar(*power));
    return *power == 1   ? scaled
           : *power == 2 ? times(scaled, a)
                         : times(scaled, reverse.binary(Arithmetic::power, a, reverse.scalar(*power - 1)));
  }
  const ValueId zero = reverse.scalar(0);
  const ValueId less = reverse.binary(Arithmetic::subtract, b, reverse.scalar(1));
  const ValueId slope = times(times(dy, b), reverse.binary(Arithmetic::power, a, less));
  return reverse.add(Kind::where, {}, {reverse.binary(Arithmetic::equal, b, zero), zero, slope},
                     reverse.signature(slope));
}

void binary(Reverse& reverse, const Node& node, ValueId dy) {
  const ValueId a = node.inputs[0], b = node.inputs[1], y = node.outputs[0];
  const auto give = [&](ValueId to, auto&& gradient) {
    if (reverse.wanted(to)) reverse.contribute(to, reverse.sum_to(gradient(), reverse.shape(to)));
  };
  const auto times = [&](ValueId left, ValueId right) {
    return reverse.binary(Arithmetic::multiply, left, right);
  };
  switch (node.attributes.arithmetic) {
    case Arithmetic::add:
      give(a, [&] { return dy; });
      return give(b, [&] { return dy; });
    case Arithmetic::subtract:
      give(a, [&] { return dy; });
      return give(b, [&] { return reverse.unary(Function::negate, dy); });
    case Arithmetic::multiply:
      give(a, [&] { return times(dy, b); });
      return give(b, [&] { return times(dy, a); });
    case Arithmetic::divide:
      give(a, [&] { return reverse.binary(Arithmetic::divide, dy, b); });
      return give(b, [&] {
        return reverse.unary(Function::negate, reverse.binary(Arithmetic::divide, times(dy, y), b));
      });
    case Arithmetic::power:
      give(a, [&] { return base_gradient(reverse, a, b, dy); });
      // a^b log(a) goes to 0 with a.
      return give(b, [&] {
        const ValueId slope = times(times(dy, y), reverse.unary(Function::log, a));
        const ValueId zero = reverse.scalar(0);
        return reverse.add(Kind::where, {}, {reverse.binary(Arithmetic::equal, a, zero), zero, slope},
                           reverse.signature(slope));
      });
    case Arithmetic::minimum:
      give(a, [&] { return masked(reverse, reverse.binary(Arithmetic::less_equal, a, b), dy); });
      return give(b, [&] { return masked(reverse, reverse.binary(Arithmetic::greater, a, b), dy); });
    case Arithmetic::maximum:
      give(a, [&] { return masked(reverse, reverse.binary(Arithmetic::greater_equal, a, b), dy); });
      return give(b, [&] { return masked(reverse, reverse.binary(Arithmetic::less, a, b), dy); });
    default:
      check(false, "a comparison has no gradient");
  }
}

void where(Reverse& reverse, const Node& node, ValueId dy) {
  const ValueId condition = node.inputs[0], a = node.inputs[1], b = node.inputs[2];
  if (reverse.wanted(a))
    reverse.contribute(a, reverse.sum_to(masked(reverse, condition, dy), reverse.shape(a)));
  if (!reverse.wanted(b)) return;
  const ValueId rest =
      reverse.add(Kind::where, {}, {condition, reverse.scalar(0), dy}, reverse.signature(dy));
  reverse.contribute(b, reverse.sum_to(rest, reverse.shape(b)));
}

}  // namespace

bool elementwise_gradient(Reverse& reverse, const Node& node) {
  switch (node.kind) {
    case Kind::unary:
      unary(reverse, node, reverse.gradient_of(node.outputs[0]));
      return true;
    case Kind::binary:
      binary(reverse, node, reverse.gradient_of(node.outputs[0]));
      return true;
    case Kind::where:
      where(reverse, node, reverse.gradient_of(node.outputs[0]));
      return true;
    case Kind::cast: {
      const Signature& to = reverse.signature(node.inputs[0]);
      if (!reverse.wanted(node.inputs[0])) return true;
      Attributes back;
      back.type = to.type;
      reverse.contribute(node.inputs[0],
                         reverse.add(Kind::cast, back, {reverse.gradient_of(node.outputs[0])}, to));
      return true;
    }
    case Kind::dropout: {
      const ValueId x = node.inputs[0];
      if (reverse.wanted(x))
        reverse.contribute(x,
                           reverse.add(Kind::dropout_grad, node.attributes,
                                       {reverse.gradient_of(node.outputs[0]), node.inputs[1], node.inputs[2]},
                                       reverse.signature(x)));
      return true;
    }
    default:
      return false;
  }
}

}  // namespace trainyard::graph
