// wide_deep, deepfm: tables with columns of real numbers and of categories.
#include "common/graph/presets/parts.hpp"

namespace trainyard::graph {
namespace {

using ops::Arithmetic;
using ops::Reduction;

struct Columns {
  explicit Columns(Draft& d) {
    if (d.data.numbers > 0) numbers = d.net.input("numbers", Signature({tensor::kBatch, d.data.numbers}));
    if (d.data.categories > 0)
      categories = d.net.input("categories", {Shape{tensor::kBatch, d.data.categories}, DType::i32});
  }
  ValueId numbers = kAbsent, categories = kAbsent;
};

/// One score for the second of two classes, else one a class; sets the loss.
std::int64_t scores_of(Draft& d) {
  if (d.data.classes > 2) return d.classes();
  d.loss.kind = Kind::sigmoid_cross_entropy;
  return 1;
}

ValueId sum(Composer& net, ValueId a, ValueId b) {
  if (a == kAbsent || b == kAbsent) return a == kAbsent ? b : a;
  return net.add(a, b);
}

/// A weight for each column and category: [N, scores].
ValueId linear_part(Draft& d, const Columns& columns, std::int64_t scores) {
  Composer& net = d.net;
  ValueId of_numbers = kAbsent, of_categories = kAbsent;
  if (columns.numbers != kAbsent) of_numbers = net.dense(columns.numbers, "wide.numbers", {.units = scores});
  if (columns.categories != kAbsent) {
    const ValueId rows =
        net.embedding(columns.categories, "wide.categories", d.data.vocabulary, scores, Init::zero);
    of_categories = net.reduce(Reduction::sum, rows, {1});
  }
  return sum(net, of_numbers, of_categories);
}

ValueId deep_part(Draft& d, ValueId x, std::int64_t scores) {
  return d.net.dense(dense_stack(d.net, x, "deep.", d.options), "deep.output", {.units = scores});
}

}  // namespace

/// Cheng and others, Wide and deep learning for recommender systems, 2016.
std::vector<ValueId> wide_deep(Draft& d) {
  Composer& net = d.net;
  const Columns columns(d);
  const std::int64_t scores = scores_of(d);
  const ValueId wide = linear_part(d, columns, scores);
  ValueId x = columns.numbers;
  if (columns.categories != kAbsent) {
    const ValueId rows =
        net.flatten(net.embedding(columns.categories, "embedding", d.data.vocabulary, d.options.embedding));
    x = x == kAbsent ? rows : net.concat({rows, x}, 1);
  }
  const ValueId deep = deep_part(d, x, scores);
  net.part("scores", "add");
  return {net.add(wide, deep)};
}

/// Guo, Tang, Ye, Li, He, DeepFM, 2017: every column, a number times its row or a category's row, meets every
/// other in a product; the sum of all products by the square of the sum less the sum of squares (Rendle,
/// 2010, lemma 3.1).
std::vector<ValueId> deepfm(Draft& d) {
  Composer& net = d.net;
  const Columns columns(d);
  const std::int64_t scores = scores_of(d), width = d.options.embedding;
  const ValueId first = linear_part(d, columns, scores);
  std::vector<ValueId> rows;
  if (columns.categories != kAbsent)
    rows.push_back(net.embedding(columns.categories, "embedding", d.data.vocabulary, width));
  if (columns.numbers != kAbsent) {
    net.part("numbers", "multiply");
    const ValueId table =
        net.parameter("numbers.weight", {d.data.numbers, width}, TensorKind::weight, Init::normal_02);
    rows.push_back(net.multiply(net.reshape(columns.numbers, {d.data.numbers, 1}), table));
  }
  net.part("pairs", "factorization_machine");
  const ValueId fields = rows.size() == 1 ? rows[0] : net.concat(rows, 1);  // [N, columns, width]
  const ValueId of_sum = net.unary(ops::Function::square, net.reduce(Reduction::sum, fields, {1}));
  const ValueId of_each = net.reduce(Reduction::sum_square, fields, {1});
  const ValueId twice =
      net.reduce(Reduction::sum, net.binary(Arithmetic::subtract, of_sum, of_each), {1}, true);
  const ValueId pairs = net.multiply(twice, net.scalar(0.5f));  // [N, 1]
  const ValueId deep = deep_part(d, net.flatten(fields), scores);
  net.part("scores", "add");
  return {net.add(net.add(first, pairs), deep)};
}

}  // namespace trainyard::graph
