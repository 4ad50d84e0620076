#include "common/graph/fuse.hpp"

namespace trainyard::graph {

namespace {

using ops::Function;

class Fusion {
 public:
  Fusion(Graph& graph, bool training)
      : graph_(graph),
        training_(training),
        uses_(uses(graph)),
        maker_(graph.values.size(), kNobody),
        gone_(graph.nodes.size(), false) {
    for (std::size_t i = 0; i < graph.nodes.size(); ++i)
      for (const ValueId id : graph.nodes[i].outputs) maker_[id] = i;
  }

  void run() {
    if (training_)
      for (std::size_t i = 0; i < graph_.nodes.size(); ++i)
        if (graph_.nodes[i].kind == Kind::max_pool) pool_first(i);
    // A sum joins before the activation behind it, so that the activation finds what it can join.
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& node = graph_.nodes[i];
      if (node.kind == Kind::binary && node.attributes.arithmetic == ops::Arithmetic::add) join_sum(i);
      if (node.kind == Kind::unary) join_activation(i);
    }
    std::vector<Node> kept;
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i)
      if (!gone_[i]) kept.push_back(std::move(graph_.nodes[i]));
    graph_.nodes = std::move(kept);
  }

 private:
  static constexpr std::size_t kNobody = SIZE_MAX;

  static bool normalizes(const Node& node) {
    return node.kind == Kind::batch_norm || node.kind == Kind::batch_norm_training;
  }
  static bool linear(const Node& node) { return node.kind == Kind::conv2d || node.kind == Kind::dense; }
  /// The place of the addend among the operands.
  static std::size_t addend(const Node& node) { return normalizes(node) ? 5 : 3; }
  static Function& activation(Node& node) {
    return normalizes(node) ? node.attributes.function : node.attributes.activation;
  }

  /// The operation that makes `value` for one consumer alone and has no activation yet; or kNobody.
  std::size_t joinable(ValueId value) {
    const std::size_t at = maker_[value];
    if (at == kNobody || uses_[value] != 1) return kNobody;
    Node& node = graph_.nodes[at];
    const bool fits = (normalizes(node) || linear(node)) && node.outputs[0] == value;
    return fits && activation(node) == Function::identity ? at : kNobody;
  }

  /// A rectifier in front of a maximum goes behind it, where there is less to rectify, forth and back: it
  /// never falls, so the maximum of what it gives is what it gives of the maximum. One that a normalization
  /// takes in costs nothing where it is.
  void pool_first(std::size_t at) {
    const std::size_t front = maker_[graph_.nodes[at].inputs[0]];
    if (front == kNobody) return;
    Node &unary = graph_.nodes[front], &pool = graph_.nodes[at];
    const Function function = unary.attributes.function;
    if (unary.kind != Kind::unary || (function != Function::relu && function != Function::relu6)) return;
    const ValueId x = unary.inputs[0];
    if (uses_[unary.outputs[0]] != 1 || (maker_[x] != kNobody && normalizes(graph_.nodes[maker_[x]]))) return;
    const ValueId result = pool.outputs[0];
    pool.outputs[0] = graph_.add({graph_.signature(result)});
    uses_.push_back(1);
    maker_.push_back(front);
    pool.inputs = {x};
    unary.inputs = {pool.outputs[0]};
    unary.outputs = {result};
    std::swap(unary, pool);
    maker_[result] = at;
  }

  /// In a graph that trains the gradient has to follow from the result alone.
  bool follows(const Node& node, Function function) const {
    if (normalizes(node)) return function == Function::relu || function == Function::relu6;
    const ops::GradNeeds needs = ops::grad_needs(function);
    return ops::follows_linear(function) && (!training_ || (needs.y && !needs.x));
  }

  void join_activation(std::size_t at) {
    const Node unary = graph_.nodes[at];
    const std::size_t front = joinable(unary.inputs[0]);
    if (front == kNobody || !follows(graph_.nodes[front], unary.attributes.function)) return;
    Node& node = graph_.nodes[front];
    activation(node) = unary.attributes.function;
    if (linear(node)) {
      node.attributes.alpha = unary.attributes.alpha;
      node.attributes.beta = unary.attributes.beta;
    }
    gives(front, unary.outputs[0]);
    gone_[at] = true;
    if (node.kind == Kind::batch_norm_training)
      node.outputs.insert(node.outputs.begin() + 3, graph_.add({Signature::opaque_bytes()}));
  }

  void join_sum(std::size_t at) {
    const Node sum = graph_.nodes[at];
    if (graph_.shape(sum.inputs[0]) != graph_.shape(sum.inputs[1]) || sum.inputs[0] == sum.inputs[1]) return;
    for (const std::size_t side : {1, 0}) {
      const std::size_t front = joinable(sum.inputs[side]);
      if (front == kNobody || graph_.nodes[front].inputs.size() > addend(graph_.nodes[front])) continue;
      Node joined = std::move(graph_.nodes[front]);
      joined.inputs.resize(addend(joined), kAbsent);
      joined.inputs.push_back(sum.inputs[1 - side]);
      gone_[front] = true;
      // The addend may be made behind the operation: the whole stands where the sum stood.
      graph_.nodes[at] = std::move(joined);
      for (const ValueId id : graph_.nodes[at].outputs) maker_[id] = at;
      gives(at, sum.outputs[0]);
      return;
    }
  }

  void gives(std::size_t node, ValueId y) {
    graph_.nodes[node].outputs[0] = y;
    maker_[y] = node;
  }

  Graph& graph_;
  const bool training_;
  std::vector<std::uint32_t> uses_;
  std::vector<std::size_t> maker_;  // node that makes a value of the graph as it came
  std::vector<bool> gone_;
};

}  // namespace

void fuse(Graph& graph, bool training) { Fusion(graph, training).run(); }

}  // namespace trainyard::graph
