// Gradients of convolutions, dense layers, matrix products and pools.
#include "common/graph/gradient/reverse.hpp"

namespace trainyard::graph {
namespace {

/// dw and db of an operation that is linear in its weights, then dx.
void weighted(Reverse& reverse, const Node& node, ValueId dy, Kind weights, Kind data) {
  const auto& in = node.inputs;
  const bool bias = in.size() > 2 && in[2] != kAbsent;
  if (node.attributes.activation != ops::Function::identity) {
    Attributes activation = node.attributes;
    activation.function = node.attributes.activation;
    dy = reverse.add(Kind::unary_grad, activation, {kAbsent, node.outputs[0], dy}, reverse.signature(dy));
  }
  if (in.size() > 3) reverse.contribute(in[3], dy);
  if (reverse.wanted(in[1]) || (bias && reverse.wanted(in[2]))) {
    std::vector<Signature> outputs{reverse.signature(in[1])};
    if (bias) outputs.push_back(reverse.signature(in[2]));
    const auto made = reverse.add_all(weights, node.attributes, {in[0], dy}, outputs);
    reverse.contribute(in[1], made[0]);
    if (bias) reverse.contribute(in[2], made[1]);
  }
  if (reverse.wanted(in[0]))
    reverse.contribute(in[0], reverse.add(data, node.attributes, {dy, in[1]}, reverse.signature(in[0])));
}

/// y = transposed convolution of x: it is linear in x through a convolution, and x is where the weights'
/// gradient expects dy.
void transposed(Reverse& reverse, const Node& node, ValueId dy) {
  const ValueId x = node.inputs[0], w = node.inputs[1];
  if (reverse.wanted(w))
    reverse.contribute(
        w, reverse.add(Kind::conv2d_grad_weights, node.attributes, {dy, x}, reverse.signature(w)));
  if (reverse.wanted(x))
    reverse.contribute(x, reverse.add(Kind::conv2d, node.attributes, {dy, w}, reverse.signature(x)));
}

/// y = op(a) op(b): each gradient is a product of dy with the other operand, with the axes in the order in
/// which the operand lies, summed over broadcast axes.
void matmul(Reverse& reverse, const Node& node, ValueId dy) {
  const ValueId a = node.inputs[0], b = node.inputs[1];
  const bool ta = node.attributes.transpose_a, tb = node.attributes.transpose_b;
  const auto product = [&](ValueId left, bool tl, ValueId right, bool tr, const Shape& to) {
    Shape lead;
    const Shape &l = reverse.shape(left), &r = reverse.shape(right);
    const Shape ll(std::vector<std::int64_t>(l.dims().begin(), l.dims().end() - 2));
    const Shape rl(std::vector<std::int64_t>(r.dims().begin(), r.dims().end() - 2));
    check(tensor::broadcast(ll, rl, lead), "the operands of a product broadcast");
    std::vector<std::int64_t> dims = lead.dims();
    dims.push_back(to[to.rank() - 2]);
    dims.push_back(to[to.rank() - 1]);
    Attributes attributes;
    attributes.transpose_a = tl;
    attributes.transpose_b = tr;
    const ValueId made =
        reverse.add(Kind::matmul, attributes, {left, right}, Signature(Shape(std::move(dims))));
    return reverse.sum_to(made, to);
  };
  if (reverse.wanted(a)) {
    const Shape to = reverse.shape(a);
    reverse.contribute(a, ta ? product(b, tb, dy, true, to) : product(dy, false, b, !tb, to));
  }
  if (reverse.wanted(b)) {
    const Shape to = reverse.shape(b);
    reverse.contribute(b, tb ? product(dy, true, a, ta, to) : product(a, !ta, dy, false, to));
  }
}

void pool(Reverse& reverse, const Node& node, ValueId dy, Kind kind) {
  const ValueId x = node.inputs[0];
  reverse.contribute(x, reverse.add(kind, node.attributes, {dy, node.outputs[1]}, reverse.signature(x)));
}

}  // namespace

bool linear_gradient(Reverse& reverse, const Node& node) {
  switch (node.kind) {
    case Kind::conv2d:
      weighted(reverse, node, reverse.gradient_of(node.outputs[0]), Kind::conv2d_grad_weights,
               Kind::conv2d_grad_data);
      return true;
    case Kind::dense:
      weighted(reverse, node, reverse.gradient_of(node.outputs[0]), Kind::dense_grad_weights,
               Kind::dense_grad_data);
      return true;
    case Kind::conv2d_grad_data:
      transposed(reverse, node, reverse.gradient_of(node.outputs[0]));
      return true;
    case Kind::matmul:
      matmul(reverse, node, reverse.gradient_of(node.outputs[0]));
      return true;
    case Kind::max_pool:
      pool(reverse, node, reverse.gradient_of(node.outputs[0]), Kind::max_pool_grad);
      return true;
    case Kind::avg_pool:
      pool(reverse, node, reverse.gradient_of(node.outputs[0]), Kind::avg_pool_grad);
      return true;
    default:
      return false;
  }
}

}  // namespace trainyard::graph
