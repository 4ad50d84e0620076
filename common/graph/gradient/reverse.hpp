// What the gradient rules see: the gradients that have arrived at a node's results, and a way to hand on
// those of its operands. A rule adds operations; one rule a family of kinds. Private to common/graph.
#pragma once

#include <vector>

#include "common/graph/autodiff.hpp"
#include "common/graph/graph.hpp"

namespace trainyard::graph {

class Reverse {
 public:
  Reverse(Graph& graph, RowGradients rows);

  /// Runs the rules from the last node to the first; gradients of results have been contributed before.
  void run(std::size_t forward_nodes);

  /// Does any trainable parameter lie in front of `x`?
  bool wanted(ValueId x) const { return x != kAbsent && wanted_[x]; }
  /// The gradient that arrived at a value, or kAbsent; its contributions are summed on the first call.
  ValueId gradient_of(ValueId y);
  /// `gradient` is one summand of the gradient of `x`. Nothing happens unless wanted(x).
  void contribute(ValueId x, ValueId gradient);
  /// Is the gradient of parameter `x` made as rows? Then the rules of what looks its rows up call
  /// contribute_rows(), with a kind that gives rows and its operands, of which the second holds the ids.
  bool as_rows(ValueId x) const { return as_rows_[x]; }
  void contribute_rows(ValueId x, Kind kind, Attributes attributes, std::vector<ValueId> inputs);

  /// Adds an operation of the node at hand.
  std::vector<ValueId> add_all(Kind kind, const Attributes& attributes, std::vector<ValueId> inputs,
                               const std::vector<Signature>& outputs);
  ValueId add(Kind kind, const Attributes& attributes, std::vector<ValueId> inputs, const Signature& output) {
    return add_all(kind, attributes, std::move(inputs), {output})[0];
  }
  // Shorthands; shapes follow the operands.
  ValueId unary(ops::Function function, ValueId x);
  ValueId binary(ops::Arithmetic arithmetic, ValueId a, ValueId b);
  ValueId reshape(ValueId x, const Shape& to);
  ValueId expand(ValueId x, const Shape& to, ops::Reduction reduction = ops::Reduction::sum);
  /// Reduces the axes that broadcasting stretched from `to`: the sum of the copies, or their mean.
  ValueId sum_to(ValueId x, const Shape& to, ops::Reduction reduction = ops::Reduction::sum);
  ValueId scalar(float value);
  /// The scalar 0 or 1 of any type, and a tensor of zeros.
  ValueId unit(DType type, bool one);
  ValueId zeros(const Signature& of) { return expand(unit(of.type, false), of.shape); }

  const Graph& graph() const { return graph_; }
  // Copies: adding an operation moves what the graph holds.
  Shape shape(ValueId id) const { return graph_.shape(id); }
  Signature signature(ValueId id) const { return graph_.signature(id); }

 private:
  void finish_parameter(ValueId x);
  void finish_rows(ValueId x);

  Graph& graph_;
  std::vector<bool> as_rows_, wanted_;
  std::vector<std::vector<ValueId>> contributions_;
  std::vector<std::vector<std::vector<ValueId>>> row_parts_;  // of parameters: ids, rows, count each
  std::vector<std::uint32_t> consumers_left_;                 // of parameters
  std::vector<std::uint32_t> given_;  // how many targets a gradient was contributed to
  std::uint32_t origin_ = 0;
};

// Each adds the gradients of one node; false when the kind is not of its family.
bool linear_gradient(Reverse& reverse, const Node& node);
bool norm_gradient(Reverse& reverse, const Node& node);
bool elementwise_gradient(Reverse& reverse, const Node& node);
bool along_gradient(Reverse& reverse, const Node& node);
bool movement_gradient(Reverse& reverse, const Node& node);
bool sequence_gradient(Reverse& reverse, const Node& node);

/// Whether a gradient can flow through the node to its operand; false for whole numbers.
bool has_gradient(const Graph& graph, const Node& node);

}  // namespace trainyard::graph
