// Normalizations.
#include <numeric>

#include "common/graph/onnx/operators.hpp"

namespace trainyard::graph::onnx_file {
namespace {

void batch_norm(Call& c) {
  Attributes a;
  a.epsilon = c.number("epsilon", 1e-5f);
  a.momentum = 1 - c.number("momentum", 0.9f);
  c.ignore("training_mode");  // a job decides; the results of a training are refused when somebody uses them
  if (c.version() < 9 &&
      !c.require(c.flag("spatial", true), "statistics of each pixel (spatial 0) are not supported"))
    return;
  const bool owned = c.known(1) && c.known(2) && c.known(3) && c.known(4);
  a.frozen = !owned;
  const ValueId x = c.value(0), gamma = c.weight(1, TensorKind::bias), beta = c.weight(2, TensorKind::bias);
  const ValueId mean = c.weight(3, TensorKind::buffer), variance = c.weight(4, TensorKind::buffer);
  c.give(c.add(Kind::batch_norm, a, {x, gamma, beta, mean, variance}));
}

/// A tensor with the shape of the last axes of x; a smaller one is stretched.
ValueId stretched(Call& c, std::size_t index, const Shape& tail) {
  return c.expand(c.weight(index, TensorKind::bias), tail.dims());
}

void layer_norm(Call& c) {
  Attributes a;
  a.axis = c.integer("axis", -1);
  a.epsilon = c.number("epsilon", 1e-5f);
  c.integer("stash_type", 1, 1, 1);
  const Shape& x = c.shape(0);
  const std::int64_t first = c.axis(a.axis, x.rank());
  if (!c.ok()) return;
  const Shape tail(std::vector<std::int64_t>(x.dims().begin() + first, x.dims().end()));
  if (!c.require(!tail.open(), "over {}, which holds the batch", tail.text())) return;
  std::vector<ValueId> inputs{c.value(0), stretched(c, 1, tail)};
  if (c.has(2)) inputs.push_back(stretched(c, 2, tail));
  const auto y = c.add_all(Kind::layer_norm, a, std::move(inputs), 3);
  for (std::size_t i = 0; i < 3 && i < c.results(); ++i) c.give(y[i], i);
}

void instance_norm(Call& c) {
  Attributes a;
  a.epsilon = c.number("epsilon", 1e-5f);
  if (!c.require(c.shape(0).rank() >= 3, "of {}; it needs spatial axes", c.shape(0).text())) return;
  a.groups = c.shape(0)[1];
  const ValueId x = c.value(0), gamma = c.weight(1, TensorKind::bias);
  c.give(c.add(Kind::group_norm, a, {x, gamma, c.weight(2, TensorKind::bias)}));
}

void group_norm(Call& c) {
  Attributes a;
  a.epsilon = c.number("epsilon", 1e-5f);
  a.groups = c.integer("num_groups", 0, 1);
  c.integer("stash_type", 1, 1, 1);
  const Shape& x = c.shape(0);
  if (!c.ok() ||
      !c.require(x.rank() >= 2 && x[1] > 0 && x[1] % a.groups == 0, "{} groups of {}", a.groups, x.text()))
    return;
  std::vector<ValueId> inputs{c.value(0)};
  for (std::size_t i = 1; i <= 2; ++i) {
    ValueId one = c.weight(i, TensorKind::bias);
    if (c.version() < 21) {
      // One number for a group, until operator set 21.
      const std::int64_t each = x[1] / a.groups;
      one = c.reshape(c.expand(c.reshape(one, {a.groups, 1}), {a.groups, each}), {x[1]});
    }
    inputs.push_back(one);
  }
  c.give(c.add(Kind::group_norm, a, std::move(inputs)));
}

void lrn(Call& c) {
  Attributes a;
  a.alpha = c.number("alpha", 1e-4f);
  a.beta = c.number("beta", 0.75);
  a.bias = c.number("bias", 1);
  a.size = c.integer("size", 0, 1);
  c.give(c.add(Kind::lrn, a, {c.value(0)}));
}

/// x / its p-norm along an axis; no number where that is 0.
void lp_normalization(Call& c) {
  const std::int64_t p = c.integer("p", 2, 1, 2);
  Attributes a;
  a.reduction = p == 1 ? ops::Reduction::l1 : ops::Reduction::l2;
  a.axes = {c.integer("axis", -1)};
  const ValueId x = c.value(0);
  c.give(c.binary(Arithmetic::divide, x, c.add(Kind::reduce, a, {x})));
}

/// x / sqrt(mean square + epsilon) * scale (Zhang, Sennrich, 2019), over the axes from `axis` to the last.
void rms_norm(Call& c) {
  const double epsilon = c.number("epsilon", 1e-5f);
  c.integer("stash_type", 1, 1, 1);
  Attributes a;
  a.reduction = ops::Reduction::mean;
  const std::size_t rank = c.shape(0).rank();
  for (std::int64_t axis = c.axis(c.integer("axis", -1), rank); axis < static_cast<std::int64_t>(rank);
       ++axis)
    a.axes.push_back(axis);
  const ValueId x = c.value(0), square = c.add(Kind::reduce, a, {c.unary(Function::square, x)});
  const ValueId root = c.unary(Function::sqrt, c.binary(Arithmetic::add, square, c.scalar(epsilon)));
  const ValueId y = c.binary(Arithmetic::divide, x, root);
  c.give(c.binary(Arithmetic::multiply, y, c.weight(1, TensorKind::bias)));
}

/// (x - mean) / (deviation + 1e-9); the small number is that of the operator.
void mean_variance(Call& c) {
  Attributes a;
  a.reduction = ops::Reduction::mean;
  a.axes = c.integer_list("axes");
  if (a.axes.empty()) a.axes = {0, 2, 3};
  const ValueId x = c.value(0);
  const ValueId centred = c.binary(Arithmetic::subtract, x, c.add(Kind::reduce, a, {x}));
  const ValueId variance = c.add(Kind::reduce, a, {c.unary(Function::square, centred)});
  const ValueId deviation = c.binary(Arithmetic::add, c.unary(Function::sqrt, variance), c.scalar(1e-9));
  c.give(c.binary(Arithmetic::divide, centred, deviation));
}

constexpr Operator operators[] = {
    {"BatchNormalization", 7, batch_norm},       {"LayerNormalization", 17, layer_norm},
    {"InstanceNormalization", 6, instance_norm}, {"GroupNormalization", 18, group_norm},
    {"RMSNormalization", 23, rms_norm},          {"LRN", 1, lrn},
    {"LpNormalization", 1, lp_normalization},    {"MeanVarianceNormalization", 9, mean_variance},
};

}  // namespace

std::span<const Operator> norm_operators() { return operators; }

}  // namespace trainyard::graph::onnx_file
