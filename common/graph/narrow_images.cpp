#include "common/graph/narrow_images.hpp"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <set>

namespace trainyard::graph {
namespace {

class Images {
 public:
  Images(Graph& graph, DType type) : graph_(graph), type_(type) {}

  void run() {
    std::vector<Node> nodes = std::move(graph_.nodes);
    graph_.nodes.clear();
    for (Node& node : nodes) {
      take(node);
      graph_.nodes.push_back(std::move(node));
      for (Node& next : behind_) graph_.nodes.push_back(std::move(next));
      behind_.clear();
    }
    for (ValueId& id : graph_.results) id = wide(id, 0);
  }

 private:
  bool is_narrow(ValueId id) const { return id != kAbsent && graph_.signature(id).type == type_; }
  bool is_wide(ValueId id) const { return id != kAbsent && graph_.signature(id).type == DType::f32; }
  ValueId input(const Node& node, std::size_t i) const {
    return i < node.inputs.size() ? node.inputs[i] : kAbsent;
  }

  /// The same value in the other width; cast once.
  ValueId cast(std::map<ValueId, ValueId>& known, ValueId id, DType type, std::uint32_t origin) {
    const auto it = known.find(id);
    if (it != known.end()) return it->second;
    Attributes to;
    to.type = type;
    return known[id] = graph_.add(Kind::cast, to, {id}, {Signature(graph_.shape(id), type)}, origin)[0];
  }
  ValueId narrow(ValueId id, std::uint32_t origin) {
    return is_wide(id) ? cast(narrow_, id, type_, origin) : id;
  }
  ValueId wide(ValueId id, std::uint32_t origin) {
    return is_narrow(id) ? cast(wide_, id, DType::f32, origin) : id;
  }

  /// Operands in 16 bits, all others f32, and the results among them.
  void pass(Node& node, std::initializer_list<std::size_t> operands,
            std::initializer_list<std::size_t> results) {
    const auto among = [](std::initializer_list<std::size_t> list, std::size_t i) {
      return std::find(list.begin(), list.end(), i) != list.end();
    };
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
      node.inputs[i] =
          among(operands, i) ? narrow(node.inputs[i], node.origin) : wide(node.inputs[i], node.origin);
    for (const std::size_t i : results) {
      if (i >= node.outputs.size()) continue;
      Value& value = graph_.values[node.outputs[i]];
      if (value.place == Place::arena && value.of.type == DType::f32 && !value.of.opaque)
        value.of.type = type_;
    }
  }
  /// Results in 16 bits, which become f32 on their way to where they belong.
  void widen_results(Node& node) {
    for (ValueId& id : node.outputs) {
      const ValueId made = graph_.add({Signature(graph_.shape(id), type_)});
      Attributes to;
      to.type = DType::f32;
      behind_.push_back({Kind::cast, to, {made}, {id}, node.origin});
      id = made;
    }
  }
  void keep_wide(Node& node) { pass(node, {}, {}); }

  bool images(ValueId a, ValueId b) const {
    return graph_.shape(a) == graph_.shape(b) && graph_.shape(a).rank() == 4;
  }

  void take(Node& node) {
    const bool follows = is_narrow(input(node, 0)), one_group = node.attributes.groups == 1;
    switch (node.kind) {
      case Kind::conv2d:
        return one_group ? pass(node, {0, 1, 2, 3}, {0}) : keep_wide(node);
      case Kind::conv2d_grad_data:
        return one_group ? pass(node, {0, 1}, {0}) : keep_wide(node);
      case Kind::conv2d_grad_weights:
        if (!one_group) return keep_wide(node);
        pass(node, {0, 1}, {});
        return widen_results(node);
      case Kind::dense:
      case Kind::dense_grad_data:
      case Kind::dense_grad_weights:
      case Kind::matmul:
        return one_group ? pass(node, {0, 1}, {}) : keep_wide(node);
      case Kind::batch_norm:
      case Kind::batch_norm_training:
        return follows ? pass(node, {0, 5}, {0}) : keep_wide(node);
      case Kind::batch_norm_grad:
        return follows ? pass(node, {0, 1}, {0, 3}) : keep_wide(node);
      case Kind::unary:
      case Kind::reshape:
      case Kind::dropout:
      case Kind::dropout_grad:
        return follows && is_wide(node.outputs[0]) ? pass(node, {0}, {0}) : keep_wide(node);
      case Kind::unary_grad:
        return std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) { return is_narrow(id); })
                   ? pass(node, {0, 1, 2}, {0})
                   : keep_wide(node);
      case Kind::binary:
        return (follows || is_narrow(input(node, 1))) && images(node.inputs[0], node.inputs[1]) &&
                       is_wide(node.outputs[0])
                   ? pass(node, {0, 1}, {0})
                   : keep_wide(node);
      case Kind::max_pool:
      case Kind::avg_pool:
        if (!follows) return keep_wide(node);
        if (node.outputs.size() > 1) pooled_.insert(node.outputs[1]);
        return pass(node, {0}, {0});
      case Kind::max_pool_grad:
      case Kind::avg_pool_grad:
        return follows || pooled_.count(input(node, 1)) > 0 ? pass(node, {0}, {0}) : keep_wide(node);
      default:
        return keep_wide(node);
    }
  }

  Graph& graph_;
  const DType type_;
  std::map<ValueId, ValueId> narrow_, wide_;
  std::vector<Node> behind_;  // the node that is taken
  std::set<ValueId> pooled_;  // what a pooling in 16 bits leaves for its gradient
};

}  // namespace

void narrow_images(Graph& graph, DType type) { Images(graph, type).run(); }

}  // namespace trainyard::graph
