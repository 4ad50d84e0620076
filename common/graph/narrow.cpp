#include "common/graph/narrow.hpp"

#include <algorithm>
#include <map>

#include "common/graph/narrow_images.hpp"
#include "common/ops/widened.hpp"

namespace trainyard::graph {
namespace {

class Narrowing {
 public:
  Narrowing(Graph& graph, DType type) : graph_(graph), type_(type) {}

  void run() {
    std::vector<Node> nodes = std::move(graph_.nodes);
    graph_.nodes.clear();
    for (Node& node : nodes) {
      if (ops::is_linear(node.kind) && node.attributes.groups == 1 && wide(node.inputs[0]) &&
          wide(node.inputs[1]) && wide(node.outputs[0]))
        for (std::size_t i = 0; i < 2; ++i) node.inputs[i] = narrowed(node.inputs[i], node.origin);
      graph_.nodes.push_back(std::move(node));
    }
  }

 private:
  bool wide(ValueId id) const { return graph_.signature(id).type == DType::f32; }

  ValueId narrowed(ValueId id, std::uint32_t origin) {
    const auto it = narrow_.find(id);
    if (it != narrow_.end()) return it->second;
    Attributes to;
    to.type = type_;
    const Signature of(graph_.shape(id), type_);
    return narrow_[id] = graph_.add(Kind::cast, to, {id}, {of}, origin)[0];
  }

  Graph& graph_;
  const DType type_;
  std::map<ValueId, ValueId> narrow_;
};

/// Multiplies what the loss gives back, and divides what becomes of it where it leaves the graph. What lies
/// between is linear in it.
class Scaling {
 public:
  explicit Scaling(Graph& graph) : graph_(graph), scaled_(graph.values.size(), false) {}

  void run() {
    std::vector<Node> nodes = std::move(graph_.nodes);
    graph_.nodes.clear();
    for (Node& node : nodes) {
      std::vector<Node> behind;
      const bool loss = is_loss(node);
      if (loss || reads_scaled(node)) pass_on(node, loss, behind);
      graph_.nodes.push_back(std::move(node));
      for (Node& next : behind) graph_.nodes.push_back(std::move(next));
    }
    for (const RowResult& rows : graph_.row_results) {
      ValueId& id = graph_.results[rows.first + 1];
      if (!scaled_[id]) continue;
      Attributes divide;
      divide.arithmetic = ops::Arithmetic::divide;
      id = graph_.add(Kind::binary, divide, {id, factor()}, {graph_.signature(id)}, 0)[0];
    }
  }

 private:
  bool is_loss(const Node& node) const {
    if (node.outputs.empty()) return false;
    const Value& last = graph_.values[node.outputs.back()];
    return last.place == Place::external && graph_.externals[last.offset].name == "outcome";
  }

  bool reads_scaled(const Node& node) const {
    return std::any_of(node.inputs.begin(), node.inputs.end(),
                       [&](ValueId id) { return id != kAbsent && scaled_[id]; });
  }

  void pass_on(Node& node, bool loss, std::vector<Node>& behind) {
    const std::size_t gradients = node.outputs.size() - (loss ? 1 : 0);  // behind them the outcome
    for (std::size_t k = 0; k < gradients; ++k) {
      const ValueId given = node.outputs[k];
      const bool leaves = graph_.values[given].place == Place::gradient;
      if (!leaves) scaled_[given] = true;
      // A parameter that the loss itself reads has its gradient at once, and never in 16 bits.
      if (loss == leaves) continue;
      node.outputs[k] = graph_.add({graph_.signature(given)});
      Attributes attributes;
      attributes.arithmetic = loss ? ops::Arithmetic::multiply : ops::Arithmetic::divide;
      behind.push_back({Kind::binary, attributes, {node.outputs[k], factor()}, {given}, node.origin});
    }
  }

  ValueId factor() {
    if (factor_ == kAbsent) factor_ = graph_.external(kLossScale, Signature(Shape{}));
    return factor_;
  }

  Graph& graph_;
  std::vector<bool> scaled_;  // of the values that the graph came with
  ValueId factor_ = kAbsent;
};

}  // namespace

DType type_of(config::Precision precision) {
  switch (precision) {
    case config::Precision::fp32:
      return DType::f32;
    case config::Precision::bf16:
      return DType::bf16;
    case config::Precision::fp16:
      return DType::f16;
  }
  return DType::f32;
}

void narrow(Graph& graph, DType type, bool images) {
  if (images)
    narrow_images(graph, type);
  else
    Narrowing(graph, type).run();
  if (type == DType::f16) Scaling(graph).run();
}

}  // namespace trainyard::graph
