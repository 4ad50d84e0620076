// Reductions, softmax, extremes and sums along axes.
#include <numeric>

#include "common/graph/onnx/operators.hpp"

namespace trainyard::graph::onnx_file {
namespace {

using ops::Reduction;

/// Axes as an attribute, or from `since` on as input 1.
std::vector<std::int64_t> axes_of(Call& c, int since) {
  if (c.version() < since) return c.integer_list("axes");
  return c.has(1) ? c.integers(1) : std::vector<std::int64_t>{};
}

template <Reduction reduction, int since = 18>
void reduce(Call& c) {
  Attributes a;
  a.reduction = reduction;
  a.axes = axes_of(c, since);
  a.keep_dims = c.flag("keepdims", true);
  const bool none = c.version() >= since && c.flag("noop_with_empty_axes", false);
  if (c.ok() && a.axes.empty() && none) return c.pass(0);
  c.give(c.add(Kind::reduce, a, {c.value(0)}), 0, c.boolean(0));
}

template <bool largest>
void arg_extreme(Call& c) {
  Attributes a;
  a.axis = c.axis(c.integer("axis", 0), c.shape(0).rank());
  a.keep_dims = c.flag("keepdims", true);
  a.largest = largest;
  ValueId x = c.value(0);
  const bool last = c.flag("select_last_index", false);
  if (last) x = c.slice(x, a.axis, -1, -Call::kFar, -1);
  ValueId index = c.add(Kind::arg_extreme, a, {x});
  if (last && c.ok()) {
    // Found from the other end.
    const std::int64_t extent = c.shape(0)[static_cast<std::size_t>(a.axis)];
    index = c.binary(Arithmetic::subtract, c.scalar(static_cast<double>(extent - 1), DType::i64), index);
  }
  c.give(index);
}

void top_k(Call& c) {
  Attributes a;
  a.axis = c.integer("axis", -1);
  a.largest = c.flag("largest", true);
  c.ignore("sorted");  // sorted values are right where any order is
  if (c.version() < 10) {
    a.size = c.integer("k", 0, 0);
  } else {
    const auto k = c.integers(1);
    if (!c.require(k.size() == 1 && k[0] >= 0, "k has to be one number")) return;
    a.size = k[0];
  }
  const auto y = c.add_all(Kind::top_k, a, {c.value(0)}, 2);
  c.give(y[0], 0);
  if (c.results() > 1) c.give(y[1], 1);
}

void cumulative_sum(Call& c) {
  Attributes a;
  const auto axis = c.integers(1);
  if (!c.require(axis.size() == 1, "the axis has to be one number")) return;
  a.axis = axis[0];
  a.exclusive = c.flag("exclusive", false);
  a.reverse = c.flag("reverse", false);
  c.give(c.add(Kind::cumulative_sum, a, {c.value(0)}));
}

/// Until operator set 13 all axes from `axis` on were one.
ValueId flattened(Call& c, ValueId x, std::int64_t& axis) {
  const Shape shape = c.shape(0);
  if (c.version() >= 13 || !c.ok() || axis + 1 == static_cast<std::int64_t>(shape.rank())) return x;
  const auto at = static_cast<std::size_t>(axis);
  axis = 1;
  return c.reshape(x, {shape.volume(0, at), shape.volume(at)});
}

std::int64_t softmax_axis(Call& c) {
  return c.axis(c.integer("axis", c.version() < 13 ? 1 : -1), c.shape(0).rank());
}

template <Kind kind>
void softmax(Call& c) {
  Attributes a;
  a.axis = softmax_axis(c);
  const ValueId x = flattened(c, c.value(0), a.axis);
  c.give(c.reshape(c.add(kind, a, {x}), c.shape(0).dims()));
}

/// 1 where the first of the largest is, else 0.
void hardmax(Call& c) {
  Attributes a;
  a.axis = softmax_axis(c);
  const ValueId x = flattened(c, c.value(0), a.axis);
  if (!c.ok()) return;
  a.size = c.shape_of(x)[static_cast<std::size_t>(a.axis)];
  if (!c.require(a.size >= 0, "along the batch of {}", c.shape(0).text())) return;
  a.keep_dims = false;
  a.beta = 1;
  const ValueId index = c.add(Kind::arg_extreme, a, {x});
  c.give(c.reshape(c.add(Kind::one_hot, a, {index}), c.shape(0).dims()));
}

constexpr Operator operators[] = {
    {"ReduceSum", 1, reduce<Reduction::sum, 13>},
    {"ReduceMean", 1, reduce<Reduction::mean>},
    {"ReduceMax", 1, reduce<Reduction::maximum>},
    {"ReduceMin", 1, reduce<Reduction::minimum>},
    {"ReduceProd", 1, reduce<Reduction::product>},
    {"ReduceL1", 1, reduce<Reduction::l1>},
    {"ReduceL2", 1, reduce<Reduction::l2>},
    {"ReduceLogSum", 1, reduce<Reduction::log_sum>},
    {"ReduceLogSumExp", 1, reduce<Reduction::log_sum_exp>},
    {"ReduceSumSquare", 1, reduce<Reduction::sum_square>},
    {"ArgMax", 1, arg_extreme<true>},
    {"ArgMin", 1, arg_extreme<false>},
    {"TopK", 1, top_k},
    {"CumSum", 11, cumulative_sum},
    {"Softmax", 1, softmax<Kind::softmax>},
    {"LogSoftmax", 1, softmax<Kind::log_softmax>},
    {"Hardmax", 1, hardmax},
};

}  // namespace

std::span<const Operator> along_operators() { return operators; }

}  // namespace trainyard::graph::onnx_file
