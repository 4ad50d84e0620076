#include "common/graph/fuse.hpp"

namespace trainyard::graph {

namespace {

using ops::Function;

class Fusion {
 public:
  Fusion(Graph& graph, bool training)
      : graph_(graph), training_(training), uses_(uses(graph)), maker_(graph.values.size(), kNobody) {}

  void run() {
    std::vector<bool> gone(graph_.nodes.size(), false);
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node node = graph_.nodes[i];
      for (const ValueId id : node.outputs) maker_[id] = i;
      if (node.kind == Kind::unary)
        gone[i] = activate(node);
      else if (node.kind == Kind::binary && node.attributes.arithmetic == ops::Arithmetic::add)
        add(node, i, gone);
    }
    std::vector<Node> kept;
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i)
      if (!gone[i]) kept.push_back(std::move(graph_.nodes[i]));
    graph_.nodes = std::move(kept);
  }

 private:
  static constexpr std::size_t kNobody = SIZE_MAX;

  static bool linear(const Node& node) { return node.kind == Kind::conv2d || node.kind == Kind::dense; }

  /// The node in front of `x` whose only consumer asks; nullptr when there are others.
  Node* alone_in_front(ValueId x) {
    if (uses_[x] != 1 || maker_[x] == kNobody) return nullptr;
    Node& node = graph_.nodes[maker_[x]];
    return node.outputs[0] == x ? &node : nullptr;
  }

  /// Does the operation in front of the activation take it over?
  bool activate(const Node& unary) {
    const Function function = unary.attributes.function;
    const ValueId y = unary.outputs[0];
    Node* const front = alone_in_front(unary.inputs[0]);
    if (front == nullptr) return false;
    if (front->kind == Kind::batch_norm || front->kind == Kind::batch_norm_training) {
      if (function != Function::relu || front->attributes.relu) return false;
      front->attributes.relu = true;
      if (front->kind == Kind::batch_norm_training) {
        const ValueId mask = graph_.add({Signature::opaque_bytes()});
        front->outputs.insert(front->outputs.begin() + 3, mask);
      }
    } else if (linear(*front) && front->attributes.activation == Function::identity && follows(function)) {
      front->attributes.activation = function;
      front->attributes.alpha = unary.attributes.alpha;
      front->attributes.beta = unary.attributes.beta;
    } else {
      return false;
    }
    front->outputs[0] = y;
    maker_[y] = maker_[unary.inputs[0]];
    return true;
  }

  bool follows(Function function) const {
    const ops::GradNeeds needs = ops::grad_needs(function);
    return ops::follows_linear(function) && (!training_ || (needs.y && !needs.x));
  }

  /// The linear map takes the sum's place, since the other operand may be made behind it.
  void add(const Node& sum, std::size_t at, std::vector<bool>& gone) {
    if (graph_.shape(sum.inputs[0]) != graph_.shape(sum.inputs[1]) || sum.inputs[0] == sum.inputs[1]) return;
    for (const std::size_t side : {1, 0}) {
      Node* const front = alone_in_front(sum.inputs[side]);
      if (front == nullptr || !linear(*front) || front->inputs.size() > 3 ||
          front->attributes.activation != Function::identity)
        continue;
      Node joined = *front;
      joined.inputs.resize(3, kAbsent);
      joined.inputs.push_back(sum.inputs[1 - side]);
      joined.outputs = sum.outputs;
      gone[maker_[sum.inputs[side]]] = true;
      graph_.nodes[at] = std::move(joined);
      return;
    }
  }

  Graph& graph_;
  const bool training_;
  const std::vector<std::uint32_t> uses_;
  std::vector<std::size_t> maker_;  // node that makes a value
};

}  // namespace

void fuse(Graph& graph, bool training) { Fusion(graph, training).run(); }

}  // namespace trainyard::graph
