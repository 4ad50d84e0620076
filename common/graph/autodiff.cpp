#include "common/graph/autodiff.hpp"

#include <algorithm>

#include "common/base/check.hpp"
#include "common/base/text.hpp"
#include "common/graph/gradient/reverse.hpp"

namespace trainyard::graph {

using ops::Arithmetic;
using ops::Function;

namespace {

/// Values behind a trainable parameter.
std::vector<bool> values_wanted(const Graph& graph) {
  std::vector<bool> wanted(graph.values.size(), false);
  for (ValueId id = 0; id < wanted.size(); ++id) wanted[id] = graph.values[id].trainable;
  for (const Node& node : graph.nodes) {
    const bool any = std::any_of(node.inputs.begin(), node.inputs.end(),
                                 [&](ValueId id) { return id != kAbsent && wanted[id]; });
    if (!any) continue;
    for (const ValueId id : node.outputs) {
      const Signature& of = graph.signature(id);
      if (!of.opaque && tensor::is_real(of.type) && graph.values[id].place == Place::arena) wanted[id] = true;
    }
  }
  return wanted;
}

std::string place_of(const Graph& graph, const Node& node) {
  const Origin& origin = graph.origins[node.origin];
  return origin.place.empty() ? std::string(ops::name_of(node.kind)) : origin.place;
}

Status check_flow(const Graph& graph) {
  const std::vector<bool> wanted = values_wanted(graph);
  for (const Node& node : graph.nodes) {
    const bool in = std::any_of(node.inputs.begin(), node.inputs.end(),
                                [&](ValueId id) { return id != kAbsent && wanted[id]; });
    const bool out =
        std::any_of(node.outputs.begin(), node.outputs.end(), [&](ValueId id) { return wanted[id]; });
    if (in && out && !has_gradient(graph, node))
      return Error{Errc::invalid,
                   format("{}: no gradient can flow through {}; freeze the parameters in front of it",
                          place_of(graph, node), ops::name_of(node.kind))};
  }
  return {};
}

void sort_rows(Graph& graph) {
  std::sort(graph.row_results.begin(), graph.row_results.end(), [&](const RowResult& a, const RowResult& b) {
    return graph.values[a.parameter].offset < graph.values[b.parameter].offset;
  });
}

}  // namespace

Reverse::Reverse(Graph& graph, RowGradients rows)
    : graph_(graph),
      as_rows_(graph.values.size(), false),
      wanted_(values_wanted(graph)),
      contributions_(graph.values.size()),
      row_parts_(graph.values.size()),
      consumers_left_(graph.values.size(), 0) {
  for (const Node& node : graph.nodes)
    for (const ValueId id : node.inputs)
      if (id != kAbsent) ++consumers_left_[id];
  if (rows == RowGradients::dense) return;
  // By indices of as many ids as the batch says, or by others: only one sort can be merged.
  std::vector<std::uint32_t> by_batch(graph.values.size(), 0), by_count(graph.values.size(), 0);
  for (const Node& node : graph.nodes)
    if (node.kind == Kind::embedding_bag || (node.kind == Kind::gather && node.attributes.axis == 0))
      ++(graph.shape(node.inputs[1]).open() ? by_batch : by_count)[node.inputs[0]];
  for (ValueId id = 0; id < graph.values.size(); ++id)
    as_rows_[id] = graph.values[id].trainable && consumers_left_[id] > 0 &&
                   (by_batch[id] == consumers_left_[id] || by_count[id] == consumers_left_[id]) &&
                   std::find(graph.results.begin(), graph.results.end(), id) == graph.results.end();
}

void Reverse::run(std::size_t forward_nodes) {
  // A parameter that is a result itself, as the transitions of a random field are.
  for (ValueId id = 0; id < consumers_left_.size(); ++id)
    if (graph_.values[id].trainable && consumers_left_[id] == 0) finish_parameter(id);
  for (std::size_t i = forward_nodes; i-- > 0;) {
    const Node node = graph_.nodes[i];  // a copy: adding nodes moves them
    origin_ = node.origin;
    const bool arrived = std::any_of(node.outputs.begin(), node.outputs.end(),
                                     [&](ValueId id) { return !contributions_[id].empty(); });
    if (arrived) {
      const bool known = linear_gradient(*this, node) || norm_gradient(*this, node) ||
                         elementwise_gradient(*this, node) || along_gradient(*this, node) ||
                         movement_gradient(*this, node) || sequence_gradient(*this, node);
      check(known, "an operation of the forward pass has a gradient");
    }
    for (const ValueId id : node.inputs) {
      if (id == kAbsent || --consumers_left_[id] > 0) continue;
      if (graph_.values[id].trainable) finish_parameter(id);
    }
  }
}

ValueId Reverse::gradient_of(ValueId y) {
  std::vector<ValueId>& parts = contributions_[y];
  if (parts.empty()) return kAbsent;
  // Reverse order put the last consumer first; the sum goes in the order of the consumers.
  ValueId sum = parts.back();
  for (std::size_t i = parts.size() - 1; i-- > 0;) sum = binary(Arithmetic::add, sum, parts[i]);
  parts = {sum};
  return sum;
}

void Reverse::contribute(ValueId x, ValueId gradient) {
  if (!wanted(x)) return;
  check(shape(x) == shape(gradient), "a gradient has the shape of its value");
  contributions_[x].push_back(gradient);
  if (given_.size() < graph_.values.size()) given_.resize(graph_.values.size(), 0);
  ++given_[gradient];
}

void Reverse::contribute_rows(ValueId x, Kind kind, Attributes attributes, std::vector<ValueId> inputs) {
  const Shape table = shape(x);
  const std::int64_t length = shape(inputs[1]).volume();
  std::vector<std::int64_t> dims = table.dims();
  dims[0] = length;
  attributes.size = table[0];
  row_parts_[x].push_back(add_all(
      kind, attributes, std::move(inputs),
      {{Shape{length}, DType::i32}, {Shape(std::move(dims)), signature(x).type}, {Shape{1}, DType::i32}}));
}

void Reverse::finish_rows(ValueId x) {
  std::vector<std::vector<ValueId>>& parts = row_parts_[x];
  if (parts.empty()) return;
  if (parts.size() > 1) {
    // Reverse order put the last consumer first.
    std::vector<ValueId> all;
    Signature ids = signature(parts[0][0]), rows = signature(parts[0][1]);
    std::vector<std::int64_t> dims = rows.shape.dims();
    dims[0] = 0;
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
      all.insert(all.end(), part->begin(), part->end());
      dims[0] += shape((*part)[0])[0];
    }
    ids.shape = Shape{dims[0]};
    rows.shape = Shape(std::move(dims));
    Attributes attributes;
    attributes.size = shape(x)[0];
    parts = {add_all(Kind::merge_rows, attributes, all, {ids, rows, signature(parts[0][2])})};
  }
  graph_.row_results.push_back({x, graph_.results.size()});
  graph_.results.insert(graph_.results.end(), parts[0].begin(), parts[0].end());
}

void Reverse::finish_parameter(ValueId x) {
  if (as_rows(x)) return finish_rows(x);
  if (contributions_[x].empty()) return;
  ValueId gradient = gradient_of(x);
  if (given_.size() < graph_.values.size()) given_.resize(graph_.values.size(), 0);
  // What is handed to others too, or lives elsewhere already, is copied.
  if (given_[gradient] > 1 || graph_.values[gradient].place != Place::arena)
    gradient = unary(Function::identity, gradient);
  graph_.values[gradient].place = Place::gradient;
  graph_.values[gradient].offset = graph_.values[x].offset;
}

std::vector<ValueId> Reverse::add_all(Kind kind, const Attributes& attributes, std::vector<ValueId> inputs,
                                      const std::vector<Signature>& outputs) {
  return graph_.add(kind, attributes, std::move(inputs), outputs, origin_);
}

ValueId Reverse::unary(Function function, ValueId x) {
  return add(Kind::unary, {.function = function}, {x}, signature(x));
}

ValueId Reverse::binary(Arithmetic arithmetic, ValueId a, ValueId b) {
  Shape to;
  check(tensor::broadcast(shape(a), shape(b), to), "operands of a gradient broadcast");
  const DType type = ops::is_comparison(arithmetic) ? DType::u8 : signature(a).type;
  return add(Kind::binary, {.arithmetic = arithmetic}, {a, b}, {to, type});
}

ValueId Reverse::reshape(ValueId x, const Shape& to) {
  if (shape(x) == to) return x;
  return add(Kind::reshape, {.dims = to.dims()}, {x}, {to, signature(x).type});
}

ValueId Reverse::expand(ValueId x, const Shape& to, ops::Reduction reduction) {
  if (shape(x) == to) return x;
  return add(Kind::expand, {.dims = to.dims(), .reduction = reduction}, {x}, {to, signature(x).type});
}

ValueId Reverse::sum_to(ValueId x, const Shape& to, ops::Reduction reduction) {
  const Shape from = shape(x);
  if (from == to) return x;
  Attributes attributes{.reduction = reduction, .keep_dims = false};
  std::vector<std::int64_t> left;
  const std::size_t extra = from.rank() - to.rank();
  for (std::size_t axis = 0; axis < from.rank(); ++axis) {
    const bool stretched = axis < extra || (to[axis - extra] == 1 && from[axis] != 1);
    if (stretched) attributes.axes.push_back(static_cast<std::int64_t>(axis));
    if (!stretched) left.push_back(from[axis]);
  }
  return reshape(add(Kind::reduce, attributes, {x}, {Shape(left), signature(x).type}), to);
}

ValueId Reverse::scalar(float value) { return graph_.scalar(value); }

ValueId Reverse::unit(DType type, bool one) {
  if (type == DType::f32) return scalar(one ? 1.0f : 0.0f);
  check(!tensor::is_real(type), "what is differentiated is fp32");
  Constant constant{Signature(Shape{}, type), std::vector<std::byte>(tensor::size_of(type))};
  constant.bytes[0] = std::byte{one};  // little-endian
  return graph_.constant(std::move(constant));
}

Status differentiate(Graph& graph, const LossSpec& loss, RowGradients rows) {
  if (const Status flow = check_flow(graph); !flow) return flow;
  const std::size_t forward = graph.nodes.size();
  const auto seeds = add_loss(graph, loss);
  if (!seeds) return seeds.error();
  // The loss itself consumes the results; it is no part of the walk.
  const Node loss_node = graph.nodes.back();
  graph.nodes.pop_back();
  Reverse reverse(graph, rows);
  graph.nodes.push_back(loss_node);
  for (const Seed& seed : *seeds) reverse.contribute(seed.value, seed.gradient);
  reverse.run(forward);
  sort_rows(graph);
  return {};
}

Status differentiate_from_seeds(Graph& graph, RowGradients rows) {
  if (const Status flow = check_flow(graph); !flow) return flow;
  const std::size_t forward = graph.nodes.size();
  std::vector<std::pair<ValueId, ValueId>> seeds;
  for (std::size_t i = 0; i < graph.results.size(); ++i)
    seeds.emplace_back(graph.results[i],
                       graph.external(format("seed {}", i), graph.signature(graph.results[i])));
  Reverse reverse(graph, rows);
  for (const auto& [value, gradient] : seeds) reverse.contribute(value, gradient);
  reverse.run(forward);
  sort_rows(graph);
  return {};
}

}  // namespace trainyard::graph
