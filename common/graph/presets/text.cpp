// text_cnn, fasttext, bilstm, bilstm_crf, transformer_encoder: texts as numbers of tokens, batch first, with
// their lengths.
#include <cmath>

#include "common/graph/presets/parts.hpp"

namespace trainyard::graph {
namespace {

struct Text {
  explicit Text(Draft& d)
      : ids(d.net.input("ids", {Shape{tensor::kBatch, d.data.steps}, DType::i32})),
        lengths(d.net.input("lengths", {Shape{tensor::kBatch}, DType::i32})) {}
  ValueId ids, lengths;
};

ValueId embedded(Draft& d, const Text& text) {
  return d.net.embedding(text.ids, "embedding", d.data.vocabulary, d.options.embedding);
}

RecurrentResult bilstm_over(Draft& d, const Text& text) {
  ValueId x = d.net.dropout(embedded(d, text), d.options.dropout);
  RecurrentResult made;
  for (std::uint32_t i = 0; i < d.options.depth; ++i) {
    made = d.net.recurrent(x, "lstm." + std::to_string(i), {.units = d.options.units, .bidirectional = true},
                           text.lengths);
    x = d.net.dropout(made.steps, d.options.dropout);
  }
  made.steps = x;
  return made;
}

}  // namespace

/// Kim, Convolutional neural networks for sentence classification, 2014. Steps behind the length are zeros.
std::vector<ValueId> text_cnn(Draft& d) {
  Composer& net = d.net;
  const Text text(d);
  const ValueId mask = net.reshape(net.step_mask(text.lengths, d.data.steps, true), {d.data.steps, 1});
  const ValueId x = net.multiply(embedded(d, text), mask);
  std::vector<ValueId> answers;
  for (const std::uint32_t width : d.options.kernels) {
    const ValueId y = net.conv1d(x, "convs." + std::to_string(answers.size()),
                                 {.filters = d.options.filters, .kernel = Sides(1, width)});
    answers.push_back(net.global_pool(Kind::max_pool, net.relu(y)));
  }
  net.part("answers", "concat");
  const ValueId all = answers.size() == 1 ? answers[0] : net.concat(answers, 1);
  return {net.dense(net.dropout(all, d.options.dropout), "fc", {.units = d.classes()})};
}

/// Joulin, Grave, Bojanowski, Mikolov, Bag of tricks for efficient text classification, 2017.
std::vector<ValueId> fasttext(Draft& d) {
  Composer& net = d.net;
  const Text text(d);
  const std::int64_t steps = d.data.steps;
  net.part("embedding", "embedding_bag");
  const ValueId table = net.parameter("embedding.weight", {d.data.vocabulary, d.options.embedding},
                                      TensorKind::weight, Init::normal_02);
  // Sample n is the bag of steps n T to n T + T - 1; an id below 0 is padding.
  const ValueId counts = net.step_mask(text.lengths, steps, false);
  const ValueId ids = net.apply(Kind::where, {}, {counts, text.ids, net.whole_numbers({1, 1}, {-1})});
  Attributes flat, copies, sum, mean;
  flat.dims = {-steps};
  copies.dims = {tensor::kBatch};
  sum.axis = 0;
  sum.exclusive = true;
  mean.reduction = ops::Reduction::mean;
  const ValueId each =
      net.apply(Kind::expand, copies, {net.whole_numbers({1}, {static_cast<std::int32_t>(steps)})});
  const ValueId offsets = net.apply(Kind::cumulative_sum, sum, {each});
  const ValueId bag =
      net.apply(Kind::embedding_bag, mean, {table, net.apply(Kind::reshape, flat, {ids}), offsets});
  return {net.dense(bag, "fc", {.units = d.classes()})};
}

std::vector<ValueId> bilstm(Draft& d) {
  const Text text(d);
  const ValueId last = d.net.dropout(bilstm_over(d, text).last, d.options.dropout);
  return {d.net.dense(last, "fc", {.units = d.classes()})};
}

/// Lample, Ballesteros, Subramanian, Kawakami, Dyer, 2016, without the characters.
std::vector<ValueId> bilstm_crf(Draft& d) {
  const Text text(d);
  const ValueId emissions = d.net.dense(bilstm_over(d, text).steps, "fc", {.units = d.classes()});
  d.net.part("crf", "crf");
  const std::int64_t states = d.classes() + 2;  // begin and end
  const ValueId transitions =
      d.net.parameter("crf.transitions", {states, states}, TensorKind::weight, Init::zero);
  d.loss.kind = Kind::crf_loss;
  return {emissions, transitions, text.lengths};
}

/// Vaswani and others, Attention is all you need, 2017, section 3.1.
std::vector<ValueId> transformer_encoder(Draft& d) {
  Composer& net = d.net;
  const Text text(d);
  ValueId x = net.multiply(
      embedded(d, text), net.scalar(static_cast<float>(std::sqrt(static_cast<double>(d.options.embedding)))));
  x = net.dropout(net.positions(x, "positions", false), d.options.dropout);
  net.part("mask", "mask");
  const EncoderBlock block{
      .attention = {.heads = d.options.heads, .mask = net.score_mask(text.lengths, d.data.steps)},
      .feedforward = d.options.feedforward,
      .dropout = d.options.dropout,
      .activation = d.options.activation,
      .norm_first = d.options.norm_first};
  for (std::uint32_t i = 0; i < d.options.depth; ++i)
    x = net.encoder_block(x, "layers." + std::to_string(i), block);
  if (d.options.norm_first) x = net.layer_norm(x, "norm");
  net.part("mean", "mean_of_steps");
  return {net.dense(net.mean_of_steps(x, text.lengths), "fc", {.units = d.classes()})};
}

}  // namespace trainyard::graph
