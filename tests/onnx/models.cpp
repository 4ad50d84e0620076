#include "tests/onnx/models.hpp"

#include <numeric>

#include "common/base/check.hpp"
#include "tests/onnx/runner.hpp"

namespace trainyard::graph::test {
namespace {

using ops::Function;
constexpr std::int64_t N = tensor::kBatch;

class Making {
 public:
  explicit Making(std::string name, std::vector<Shape> inputs)
      : builder_(8), out_{std::move(name), {}, std::move(inputs)} {
    for (const Shape& shape : out_.inputs)
      xs.push_back(builder_.input("in" + std::to_string(xs.size()), Signature(shape)));
  }
  ValueId add(Kind kind, Attributes a, std::vector<ValueId> inputs) {
    return all(kind, std::move(a), std::move(inputs))[0];
  }
  std::vector<ValueId> all(Kind kind, Attributes a, std::vector<ValueId> inputs) {
    const auto made = builder_.add_all(kind, std::move(a), std::move(inputs));
    check(made.has_value(), made ? "" : made.error().message.c_str());
    return *made;
  }
  ValueId own(std::vector<std::int64_t> dims, TensorKind kind = TensorKind::weight) {
    const auto made =
        builder_.parameter("t" + std::to_string(count_++) + ".weight", std::move(dims), kind, Init::given);
    check(made.has_value(), "a small tensor is made");
    return *made;
  }
  ValueId unary(Function function, ValueId x, double alpha = 0, double beta = 0) {
    Attributes a;
    a.function = function;
    a.alpha = alpha;
    a.beta = beta;
    return add(Kind::unary, a, {x});
  }
  Example finish(std::vector<ValueId> results) {
    out_.model = std::move(builder_).finish(std::move(results));
    Random random(5);
    out_.model.given.resize(out_.model.length);
    for (float& value : out_.model.given) value = static_cast<float>(random.uniform(0.1, 0.9));
    return std::move(out_);
  }
  ValueId whole(std::vector<std::int64_t> dims, std::vector<double> values) {
    return builder_.constant(constant_of({std::move(dims), std::move(values)}, DType::i32));
  }
  std::vector<ValueId> xs;

 private:
  Builder builder_;
  Example out_;
  int count_ = 0;
};

Example dense_over_last() {
  Making m("dense_over_last", {{N, 3, 4}});
  Attributes a;
  a.axis = -1;
  return m.finish({m.add(Kind::dense, a, {m.xs[0], m.own({5, 4}), m.own({5}, TensorKind::bias)})});
}

Example dense_of_image() {
  Making m("dense_of_image", {{N, 2, 3, 3}});
  return m.finish({m.add(Kind::dense, {.axis = 1}, {m.xs[0], m.own({5, 18})})});
}

Example finished_convolution() {
  Making m("finished_convolution", {{N, 3, 6, 6}});
  Attributes a;
  a.pad_top = a.pad_bottom = a.pad_left = a.pad_right = 1;
  const ValueId first = m.add(Kind::conv2d, a, {m.xs[0], m.own({3, 3, 3, 3}), m.own({3}, TensorKind::bias)});
  a.activation = Function::relu;
  return m.finish({m.add(Kind::conv2d, a, {first, m.own({3, 3, 3, 3}), kAbsent, m.xs[0]})});
}

Example transposed_convolution() {
  Making m("transposed_convolution", {{N, 4, 5, 5}});
  Attributes a;
  a.stride_height = a.stride_width = 2;
  a.pad_top = a.pad_left = a.pad_bottom = a.pad_right = 1;
  a.groups = 2;
  a.dims = {10, 9};
  return m.finish({m.add(Kind::conv2d_grad_data, a, {m.xs[0], m.own({4, 3, 3, 3})})});
}

Example every_function() {
  Making m("every_function", {{N, 7}});
  const ValueId x = m.xs[0];
  std::vector<ValueId> results;
  for (int i = 0; i <= static_cast<int>(Function::celu); ++i) {
    const auto function = static_cast<Function>(i);
    if (function == Function::logical_not) continue;
    const bool above_one = function == Function::acosh;
    const bool bounds =
        function == Function::clip || function == Function::hard_sigmoid || function == Function::shrink;
    const ValueId operand = above_one ? m.unary(Function::exp, m.unary(Function::abs, x)) : x;
    results.push_back(m.unary(function, operand, 0.3, bounds ? 0.5 : 0));
  }
  return m.finish(std::move(results));
}

Example truths() {
  Making m("truths", {{N, 6}, {N, 6}});
  const ValueId less = m.add(Kind::binary, {.arithmetic = ops::Arithmetic::less}, {m.xs[0], m.xs[1]});
  const ValueId more = m.unary(Function::logical_not, less);
  const ValueId both = m.add(Kind::binary, {.arithmetic = ops::Arithmetic::logical_xor}, {less, more});
  Attributes sum;
  sum.axes = {1};
  const ValueId count = m.add(Kind::reduce, sum, {m.add(Kind::cast, {.type = DType::f32}, {both})});
  const ValueId chosen = m.add(Kind::where, {}, {less, m.xs[0], m.xs[1]});
  const ValueId modulo = m.add(Kind::binary, {.arithmetic = ops::Arithmetic::modulo}, {m.xs[0], m.xs[1]});
  return m.finish({count, chosen, modulo, less});
}

Example norms() {
  Making m("norms", {{N, 6, 4, 4}});
  Attributes layer, groups, instance, local;
  layer.axis = 2;
  groups.groups = 3;
  instance.groups = 6;
  local.alpha = 0.1;
  local.beta = 0.75;
  local.bias = 1;
  local.size = 3;
  const ValueId scale = m.own({6}, TensorKind::bias), shift = m.own({6}, TensorKind::bias);
  const auto both = m.all(Kind::layer_norm, layer, {m.xs[0]});
  return m.finish({both[0], both[1], both[2], m.add(Kind::group_norm, groups, {m.xs[0], scale, shift}),
                   m.add(Kind::group_norm, instance, {m.xs[0], scale, shift}),
                   m.add(Kind::lrn, local, {m.xs[0]})});
}

Example statistics() {
  Making m("statistics", {{N, 3, 4, 4}});
  const ValueId y = m.add(Kind::batch_norm, {},
                          {m.xs[0], m.own({3}, TensorKind::bias), m.own({3}, TensorKind::bias),
                           m.own({3}, TensorKind::buffer), m.own({3}, TensorKind::buffer)});
  Attributes drop;
  drop.rate = 0.4;
  return m.finish({m.add(Kind::dropout, drop, {y})});
}

Example moved() {
  Making m("moved", {{N, 4, 6}});
  const ValueId x = m.xs[0];
  Attributes cut, fold, wide, padded;
  cut.axes = {1, 2};
  cut.starts = {3, 1};
  cut.ends = {-100, 5};
  cut.steps = {-1, 2};
  fold.dims = {-2, 2, 6};
  wide.dims = {N, 4, 5};
  padded.starts = {0, 1, 0};
  padded.ends = {0, 2, 1};
  padded.pad_mode = ops::PadMode::reflect;
  Attributes first, front;
  first.axes = {2};
  first.starts = {0};
  first.ends = {1};
  front.axis = 2;
  const ValueId narrow = m.add(Kind::slice, first, {x});
  Attributes turned;
  turned.axes = {2, 0, 1};
  return m.finish({m.add(Kind::slice, cut, {x}), m.add(Kind::reshape, fold, {x}),
                   m.add(Kind::expand, wide, {narrow}), m.add(Kind::pad, padded, {x}),
                   m.add(Kind::concat, front, {x, narrow}), m.add(Kind::transpose, turned, {x})});
}

Example stretched_over_batch() {
  Making m("stretched_over_batch", {{N, 3}});
  Attributes open;
  open.dims = {N, 4, 3};
  const ValueId row = m.own({1, 4, 3});
  Attributes twice;
  twice.dims = {-2, 3};
  return m.finish({m.add(Kind::expand, open, {row}), m.add(Kind::expand, twice, {m.own({1, 3})})});
}

Example resized() {
  Making m("resized", {{N, 2, 4, 5}});
  std::vector<ValueId> results;
  for (const auto interpolation :
       {ops::Interpolation::nearest, ops::Interpolation::linear, ops::Interpolation::cubic}) {
    Attributes a;
    a.interpolation = interpolation;
    a.dims = {8, 7};
    results.push_back(m.add(Kind::resize, a, {m.xs[0]}));
    a.dims = {6, 12};
    a.alpha = 1.6;
    a.beta = 2.5;
    a.coordinates = ops::Coordinates::asymmetric;
    a.nearest_mode = ops::NearestMode::floor;
    results.push_back(m.add(Kind::resize, a, {m.xs[0]}));
  }
  return m.finish(std::move(results));
}

Example attended() {
  Making m("attended", {{N, 2, 3, 4}, {N, 2, 5, 4}, {N, 2, 5, 6}, {3, 5}});
  Attributes a;
  a.alpha = 0.5;
  return m.finish({m.add(Kind::attention, a, {m.xs[0], m.xs[1], m.xs[2], m.xs[3]})});
}

Example recurrent(ops::Cell cell, ops::Direction direction, const char* name) {
  const std::int64_t directions = direction == ops::Direction::bidirectional ? 2 : 1, hidden = 3;
  const std::int64_t rows = (cell == ops::Cell::lstm ? 4 : cell == ops::Cell::rnn ? 1 : 3) * hidden;
  Making m(name, {{N, 5, 4}});
  Attributes a;
  a.cell = cell;
  a.direction = direction;
  const auto y = m.all(Kind::recurrent, a,
                       {m.xs[0], m.own({directions, rows, 4}), m.own({directions, rows, hidden}),
                        m.own({directions, 2 * rows}, TensorKind::bias)});
  return m.finish({y[0], y[1]});
}

Example looked_up() {
  Making m("looked_up", {{N, 6}});
  Attributes best, top, picks, hot, sum;
  best.axis = 1;
  best.keep_dims = false;
  top.axis = 1;
  top.size = 3;
  picks.axis = 0;
  hot.size = 6;
  hot.axis = 1;
  hot.beta = 2;
  sum.axis = 1;
  sum.reverse = true;
  const ValueId index = m.add(Kind::arg_extreme, best, {m.xs[0]});
  const auto k = m.all(Kind::top_k, top, {m.xs[0]});
  Attributes elements;
  elements.axis = 1;
  return m.finish({index, m.add(Kind::gather, picks, {m.own({6, 3}), index}), k[0], k[1],
                   m.add(Kind::one_hot, hot, {index}), m.add(Kind::cumulative_sum, sum, {m.xs[0]}),
                   m.add(Kind::gather_elements, elements, {m.xs[0], k[1]})});
}

/// Positions before the first bag, ids that are padding, bags that are empty, the last one behind the list.
Example bags() {
  Making m("bags", {{9}});
  const ValueId scale = m.add(Kind::binary, {.arithmetic = ops::Arithmetic::multiply}, {m.xs[0], m.xs[0]});
  const ValueId wide =
      m.unary(Function::exp, m.add(Kind::binary, {.arithmetic = ops::Arithmetic::add}, {scale, scale}));
  const ValueId ids = m.add(Kind::binary, {.arithmetic = ops::Arithmetic::subtract},
                            {m.add(Kind::cast, {.type = DType::i32}, {wide}), m.whole({1}, {2})});
  const ValueId table = m.own({6, 3}), offsets = m.whole({5}, {1, 3, 3, 7, 9});
  Attributes mean;
  mean.reduction = ops::Reduction::mean;
  return m.finish({m.add(Kind::embedding_bag, {}, {table, ids, offsets}),
                   m.add(Kind::embedding_bag, mean, {table, ids, offsets})});
}

}  // namespace

std::vector<Example> examples() {
  std::vector<Example> out;
  out.push_back(dense_over_last());
  out.push_back(dense_of_image());
  out.push_back(finished_convolution());
  out.push_back(transposed_convolution());
  out.push_back(every_function());
  out.push_back(truths());
  out.push_back(norms());
  out.push_back(statistics());
  out.push_back(moved());
  out.push_back(stretched_over_batch());
  out.push_back(resized());
  out.push_back(attended());
  out.push_back(recurrent(ops::Cell::lstm, ops::Direction::bidirectional, "lstm"));
  out.push_back(recurrent(ops::Cell::gru, ops::Direction::reverse, "gru"));
  out.push_back(recurrent(ops::Cell::gru_linear_before_reset, ops::Direction::forward, "gru_before"));
  out.push_back(recurrent(ops::Cell::rnn, ops::Direction::forward, "rnn"));
  out.push_back(looked_up());
  out.push_back(bags());
  return out;
}

}  // namespace trainyard::graph::test
