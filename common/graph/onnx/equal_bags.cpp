#include "common/graph/onnx/equal_bags.hpp"

#include <cstring>

#include "common/base/check.hpp"
#include "common/graph/freeze.hpp"

namespace trainyard::graph::onnx_file {
namespace {

using ops::Arithmetic;

class Unrolling {
 public:
  explicit Unrolling(Graph& graph) : graph_(graph) {}

  void run() {
    std::vector<Node> old = std::move(graph_.nodes);
    graph_.nodes.clear();
    bool any = false;
    for (Node& node : old) {
      const ValueId ids = node.kind == Kind::embedding_bag ? matrix_of(node) : kAbsent;
      if (ids != kAbsent) {
        unroll(node, ids);
        any = true;
      } else {
        graph_.nodes.push_back(std::move(node));
      }
    }
    if (any) drop_unused(graph_);
  }

 private:
  const Node* maker(ValueId id, Kind kind) const {
    for (const Node& node : graph_.nodes)
      if (node.kind == kind && node.outputs[0] == id) return &node;
    return nullptr;
  }

  /// The ids [N, T] of which bag n is row n; kAbsent when the bags are others.
  ValueId matrix_of(const Node& bags) const {
    const Node* const flat = maker(bags.inputs[1], Kind::reshape);
    const Node* const sums = maker(bags.inputs[2], Kind::cumulative_sum);
    if (flat == nullptr || sums == nullptr) return kAbsent;
    const Shape& ids = graph_.shape(flat->inputs[0]);
    if (ids.rank() != 2 || ids[0] != tensor::kBatch || graph_.shape(bags.inputs[2]) != Shape{tensor::kBatch})
      return kAbsent;
    if (!sums->attributes.exclusive || sums->attributes.reverse) return kAbsent;
    const Node* const lengths = maker(sums->inputs[0], Kind::expand);
    if (lengths == nullptr || number(lengths->inputs[0]) != ids[1]) return kAbsent;
    return flat->inputs[0];
  }

  /// The whole number that a constant of one element is; -1: it is none.
  std::int64_t number(ValueId id) const {
    const Value& value = graph_.values[id];
    if (value.place != Place::constant || value.of.type != DType::i32 || value.of.shape.elements() != 1)
      return -1;
    std::int32_t out = 0;
    std::memcpy(&out, graph_.constants[value.offset].bytes.data(), sizeof(out));
    return out;
  }

  ValueId add(Kind kind, Attributes attributes, std::vector<ValueId> inputs) {
    std::vector<Signature> signatures;
    for (const ValueId id : inputs) signatures.push_back(graph_.signature(id));
    const auto outputs = ops::infer(kind, attributes, signatures);
    check(outputs.has_value(), "the parts of a bag fit together");
    return graph_.add(kind, std::move(attributes), std::move(inputs), *outputs, origin_)[0];
  }
  ValueId binary(Arithmetic arithmetic, ValueId a, ValueId b) {
    return add(Kind::binary, {.arithmetic = arithmetic}, {a, b});
  }
  ValueId sum(ValueId x) { return add(Kind::reduce, {.axes = {1}, .keep_dims = false}, {x}); }

  void unroll(const Node& bags, ValueId ids) {
    origin_ = bags.origin;
    const ValueId zero = graph_.constant({Signature(Shape{}, DType::i32), std::vector<std::byte>(4)});
    // A padding id, below 0, counts for nothing.
    const ValueId counts =
        add(Kind::cast, {.type = DType::f32}, {binary(Arithmetic::greater_equal, ids, zero)});
    Attributes first, column;
    first.axis = 0;
    column.dims = {tensor::kBatch, graph_.shape(ids)[1], 1};
    const ValueId rows = add(Kind::gather, first, {bags.inputs[0], binary(Arithmetic::maximum, ids, zero)});
    ValueId result = sum(binary(Arithmetic::multiply, rows, add(Kind::reshape, column, {counts})));
    if (bags.attributes.reduction == ops::Reduction::mean) {
      Attributes each;
      each.dims = {tensor::kBatch, 1};
      const ValueId members = binary(Arithmetic::maximum, sum(counts), graph_.scalar(1));
      result = binary(Arithmetic::divide, result, add(Kind::reshape, each, {members}));
    }
    graph_.nodes.back().outputs[0] = bags.outputs[0];
  }

  Graph& graph_;
  std::uint32_t origin_ = 0;
};

}  // namespace

void unroll_equal_bags(Graph& graph) { Unrolling(graph).run(); }

}  // namespace trainyard::graph::onnx_file
