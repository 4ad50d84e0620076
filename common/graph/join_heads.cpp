#include "common/graph/join_heads.hpp"

#include <algorithm>

namespace trainyard::graph {

namespace {

class Joining {
 public:
  explicit Joining(Graph& graph)
      : graph_(graph),
        uses_(uses(graph)),
        maker_(graph.values.size(), kNobody),
        consumer_(graph.values.size(), kNobody),
        gone_(graph.nodes.size(), false) {
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
      for (const ValueId id : graph.nodes[i].outputs) maker_[id] = i;
      for (const ValueId id : graph.nodes[i].inputs)
        if (id != kAbsent) consumer_[id] = i;
    }
  }

  void run() {
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i)
      if (graph_.nodes[i].kind == Kind::attention) join(i);
    std::vector<Node> kept;
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i)
      if (!gone_[i]) kept.push_back(std::move(graph_.nodes[i]));
    graph_.nodes = std::move(kept);
  }

 private:
  static constexpr std::size_t kNobody = SIZE_MAX;

  /// The node of this kind that makes `value` for one consumer alone.
  std::size_t made_by(ValueId value, Kind kind) const {
    const std::size_t at = maker_[value];
    return at != kNobody && graph_.nodes[at].kind == kind && uses_[value] == 1 ? at : kNobody;
  }
  /// The node of this kind that is the one consumer of `value`.
  std::size_t used_by(ValueId value, Kind kind) const {
    const std::size_t at = consumer_[value];
    return at != kNobody && graph_.nodes[at].kind == kind && uses_[value] == 1 ? at : kNobody;
  }
  bool swaps_heads(std::size_t at) const {
    return graph_.nodes[at].attributes.axes == std::vector<std::int64_t>{0, 2, 1, 3};
  }

  /// Operand `value` [N, h, T, D] is third number `third` of an x [N, T, 3 h D]: gives x, or kAbsent.
  ValueId cut(ValueId value, std::int64_t third, std::vector<std::size_t>& nodes) const {
    const std::size_t turned = made_by(value, Kind::transpose);
    if (turned == kNobody || !swaps_heads(turned)) return kAbsent;
    const std::size_t split = made_by(graph_.nodes[turned].inputs[0], Kind::reshape);
    if (split == kNobody) return kAbsent;
    const std::size_t sliced = made_by(graph_.nodes[split].inputs[0], Kind::slice);
    if (sliced == kNobody) return kAbsent;
    const Node& slice = graph_.nodes[sliced];
    const Shape &heads = graph_.shape(value), &x = graph_.shape(slice.inputs[0]);
    const std::int64_t width = heads[1] * heads[3];
    if (x != Shape{heads[0], heads[2], 3 * width} ||
        graph_.shape(slice.outputs[0]) != Shape{heads[0], heads[2], width})
      return kAbsent;
    const Attributes& a = slice.attributes;
    const bool fits =
        a.axes == std::vector<std::int64_t>{2} && a.starts[0] == third * width && a.steps[0] == 1;
    nodes.insert(nodes.end(), {turned, split, sliced});
    return fits ? slice.inputs[0] : kAbsent;
  }

  void join(std::size_t at) {
    const Node attention = graph_.nodes[at];
    const ValueId y = attention.outputs[0];
    std::vector<std::size_t> nodes;
    const ValueId x = cut(attention.inputs[0], 0, nodes);
    if (x == kAbsent || cut(attention.inputs[1], 1, nodes) != x || cut(attention.inputs[2], 2, nodes) != x)
      return;
    if (uses_[attention.outputs[1]] != 0) return;
    const std::size_t turned = used_by(y, Kind::transpose);
    if (turned == kNobody || !swaps_heads(turned)) return;
    const std::size_t merged = used_by(graph_.nodes[turned].outputs[0], Kind::reshape);
    if (merged == kNobody) return;
    const Shape& heads = graph_.shape(y);
    const ValueId result = graph_.nodes[merged].outputs[0];
    if (graph_.shape(result) != Shape{heads[0], heads[2], heads[1] * heads[3]}) return;
    nodes.insert(nodes.end(), {turned, merged});
    for (const std::size_t node : nodes) gone_[node] = true;
    Attributes attributes = attention.attributes;
    attributes.groups = heads[1];
    std::vector<ValueId> inputs{x};
    if (attention.inputs.size() > 3) inputs.push_back(attention.inputs[3]);
    graph_.nodes[at] = {
        Kind::self_attention, attributes, inputs, {result, attention.outputs[1]}, attention.origin};
  }

  Graph& graph_;
  const std::vector<std::uint32_t> uses_;
  std::vector<std::size_t> maker_, consumer_;  // the last consumer
  std::vector<bool> gone_;
};

}  // namespace

void join_heads(Graph& graph) { Joining(graph).run(); }

}  // namespace trainyard::graph
