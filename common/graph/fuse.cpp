#include "common/graph/fuse.hpp"

namespace trainyard::graph {

namespace {

class Fusion {
 public:
  explicit Fusion(Graph& graph) : graph_(graph), uses_(uses(graph)), maker_(graph.values.size(), kNobody) {
    for (std::size_t i = 0; i < graph.nodes.size(); ++i)
      for (const ValueId id : graph.nodes[i].outputs) maker_[id] = i;
  }

  void run() {
    std::vector<Node> kept;
    std::vector<bool> gone(graph_.nodes.size(), false);
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) {
      const Node& node = graph_.nodes[i];
      gone[i] = node.kind == Kind::unary && node.attributes.function == ops::Function::relu && rectify(node);
    }
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i)
      if (!gone[i]) kept.push_back(std::move(graph_.nodes[i]));
    graph_.nodes = std::move(kept);
  }

 private:
  static constexpr std::size_t kNobody = SIZE_MAX;

  /// Does the normalization in front of `relu` take it over?
  bool rectify(const Node& relu) {
    const ValueId x = relu.inputs[0], y = relu.outputs[0];
    if (uses_[x] != 1 || maker_[x] == kNobody) return false;
    Node& norm = graph_.nodes[maker_[x]];
    const bool training = norm.kind == Kind::batch_norm_training;
    if ((!training && norm.kind != Kind::batch_norm) || norm.outputs[0] != x) return false;
    norm.attributes.relu = true;
    norm.outputs[0] = y;
    if (training) norm.outputs.insert(norm.outputs.begin() + 3, graph_.add({Signature::opaque_bytes()}));
    return true;
  }

  Graph& graph_;
  const std::vector<std::uint32_t> uses_;
  std::vector<std::size_t> maker_;  // node that makes a value
};

}  // namespace

void fuse(Graph& graph) { Fusion(graph).run(); }

}  // namespace trainyard::graph
