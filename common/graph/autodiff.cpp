#include <map>

#include "common/base/check.hpp"
#include "common/graph/graph.hpp"

namespace trainyard::graph {

namespace {

using ops::Kind;

class Reverse {
 public:
  explicit Reverse(Graph& graph) : graph_(graph) {}

  void run() {
    const std::size_t forward = graph_.nodes.size();
    const ValueId logits = graph_.result;
    const ValueId labels = graph_.add({{}, Place::labels}), outcome = graph_.add({{}, Place::outcome});
    const ValueId seed = graph_.add({graph_.values[logits].shape});
    graph_.nodes.push_back({Kind::softmax_cross_entropy,
                            {},
                            {logits, labels},
                            {seed, outcome},
                            graph_.nodes[forward - 1].layer});
    gradients_[logits] = seed;
    for (std::size_t i = forward; i-- > 0;) {
      const Node node = graph_.nodes[i];  // a copy: adding nodes moves them
      const auto dy = gradients_.find(node.outputs[0]);
      if (dy != gradients_.end()) backward(node, dy->second);
    }
  }

 private:
  /// Does any parameter lie in front of `x`? The images need no gradient.
  bool wanted(ValueId x) const { return graph_.values[x].place == Place::arena; }

  ValueId gradient_of(ValueId x) {
    const bool fresh = !gradients_.contains(x);
    check(fresh, "a value with two consumers needs its gradients added");
    return gradients_[x] = graph_.add({graph_.values[x].shape});
  }
  ValueId into_flat(ValueId parameter) {
    const Value value = graph_.values[parameter];
    return graph_.add({value.shape, Place::gradient, value.offset});
  }
  void add(const Node& of, Kind kind, std::vector<ValueId> inputs, std::vector<ValueId> outputs) {
    graph_.nodes.push_back({kind, of.attributes, std::move(inputs), std::move(outputs), of.layer});
  }

  void backward(const Node& node, ValueId dy) {
    const auto& in = node.inputs;
    const auto& out = node.outputs;
    const ValueId x = in[0];
    switch (node.kind) {
      case Kind::conv2d:
        return weighted(node, dy, Kind::conv2d_grad_weights, Kind::conv2d_grad_data);
      case Kind::dense:
        return weighted(node, dy, Kind::dense_grad_weights, Kind::dense_grad_data);
      case Kind::batch_norm: {
        std::vector<ValueId> inputs{x, dy, out[1], out[2], in[1]};
        if (node.attributes.relu) inputs.push_back(out[3]);
        const ValueId dx = wanted(x) ? gradient_of(x) : graph_.add({graph_.values[x].shape});
        return add(node, Kind::batch_norm_grad, std::move(inputs), {dx, into_flat(in[1]), into_flat(in[2])});
      }
      case Kind::relu:
        if (wanted(x)) add(node, Kind::relu_grad, {out[0], dy}, {gradient_of(x)});
        return;
      case Kind::max_pool:
        if (wanted(x)) add(node, Kind::max_pool_grad, {dy, out[1]}, {gradient_of(x)});
        return;
      case Kind::avg_pool:
        if (wanted(x)) add(node, Kind::avg_pool_grad, {dy, out[1]}, {gradient_of(x)});
        return;
      case Kind::flatten:
        if (wanted(x)) add(node, Kind::flatten_grad, {dy}, {gradient_of(x)});
        return;
      case Kind::dropout:
        if (wanted(x)) add(node, Kind::dropout_grad, {dy, in[1], in[2]}, {gradient_of(x)});
        return;
      default:
        check(false, "an operation of the forward pass has a gradient");
    }
  }

  void weighted(const Node& node, ValueId dy, Kind weights, Kind data) {
    const auto& in = node.inputs;
    std::vector<ValueId> outputs{into_flat(in[1])};
    if (in.size() > 2) outputs.push_back(into_flat(in[2]));
    add(node, weights, {in[0], dy}, std::move(outputs));
    if (wanted(in[0])) add(node, data, {dy, in[1]}, {gradient_of(in[0])});
  }

  Graph& graph_;
  std::map<ValueId, ValueId> gradients_;
};

}  // namespace

void differentiate(Graph& graph) { Reverse(graph).run(); }

}  // namespace trainyard::graph
