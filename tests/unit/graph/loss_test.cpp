// Every loss as part of a network: its gradient reaches the parameters, and what it asks for is refused
// clearly when it is not there.
#include <catch2/catch.hpp>
#include <cmath>

#include "common/base/random.hpp"
#include "common/graph/autodiff.hpp"
#include "common/graph/network.hpp"

namespace trainyard::graph::test {

namespace {

constexpr std::uint32_t kCount = 3;
constexpr std::int64_t kTimes = 4, kTags = 3;

ValueId required(const Result<ValueId>& value) {
  if (!value) FAIL(value.error().message);
  return *value;
}

ValueId parameter(Builder& builder, std::string name, std::vector<std::int64_t> shape, Init init) {
  return required(builder.parameter(std::move(name), std::move(shape), TensorKind::weight, init));
}

ValueId dense(Builder& builder, ValueId x, const std::string& name, std::int64_t units, std::int64_t axis) {
  const Shape shape = builder.shape(x);
  const ValueId w = parameter(builder, name, {units, shape[shape.rank() - 1]}, Init::glorot);
  return required(builder.add(Kind::dense, {.axis = axis}, {x, w}));
}

/// One dense layer; three of them for a triplet loss, one over each time and transitions for a field.
Model model_for(Kind loss) {
  Builder builder(kCount);
  builder.origin("dense", "");
  std::vector<ValueId> results;
  if (loss == Kind::crf_loss) {
    const ValueId x = builder.input("x", Signature({tensor::kBatch, kTimes, 5}));
    const ValueId lengths = builder.input("lengths", Signature({tensor::kBatch}, DType::i32));
    results = {dense(builder, x, "w", kTags, -1),
               parameter(builder, "transitions", {kTags + 2, kTags + 2}, Init::glorot), lengths};
  } else {
    const ValueId x = builder.input("x", Signature({tensor::kBatch, 5}));
    results = {dense(builder, x, "w", 4, 1)};
    if (loss == Kind::triplet)
      for (const char* name : {"w2", "w3"}) results.push_back(dense(builder, x, name, 4, 1));
  }
  return std::move(builder).finish(std::move(results));
}

/// A training in double, with one batch of input.
class Trial {
 public:
  Trial(const Model& model, const LossSpec& loss) : values_(model.length), gradients_(model.length) {
    Graph graph = training_graph(model, 1);
    if (const Status done = differentiate(graph, loss); !done) FAIL(done.error().message);
    auto program = Program::bind(graph, kCount, *backend_);
    if (!program) FAIL(program.error().message);
    program_ = std::move(*program);
    arena_ = tensor::Buffer(program_->arena_bytes());
    Random random(5);
    for (double& value : values_) value = random.uniform(-1, 1);
    for (double& value : x_) value = random.uniform(-1, 1);
    for (double& value : targets_) value = random.below(2) == 0 ? 0 : 1;
    for (std::int32_t& label : labels_) label = static_cast<std::int32_t>(random.below(kTags));
    for (const External& external : graph.externals) {
      void* at = &outcome_;
      if (external.name == "x") at = x_;
      if (external.name == "lengths") at = lengths_;
      if (external.name == "labels")
        at = external.of.type == DType::i32 ? static_cast<void*>(labels_) : static_cast<void*>(targets_);
      externals_.push_back(at);
    }
  }
  double loss() {
    program_->run({arena_.data(), values_.data(), gradients_.data(), externals_});
    return outcome_.loss_sum;
  }
  std::vector<double>& values() { return values_; }
  const std::vector<double>& gradients() const { return gradients_; }

 private:
  std::unique_ptr<ops::Backend> backend_ = ops::reference_backend<double>();
  std::unique_ptr<Program> program_;
  tensor::Buffer arena_;
  std::vector<double> values_, gradients_;
  double x_[kCount * kTimes * 5] = {}, targets_[kCount * 4] = {};
  std::int32_t labels_[kCount * kTimes] = {}, lengths_[kCount] = {kTimes, 0, 2};
  ops::Outcome outcome_;
  std::vector<void*> externals_;
};

LossSpec spec(Kind kind) {
  LossSpec loss{.kind = kind};
  loss.attributes.alpha = 0.6;
  if (kind != Kind::softmax_cross_entropy) return loss;
  loss.attributes.smoothing = 0.1;
  loss.attributes.ignore = 2;
  loss.class_weights = {0.5f, 1.0f, 2.0f, 1.5f};
  return loss;
}

std::string refusal(const Model& model, const LossSpec& loss) {
  Graph graph = training_graph(model, 1);
  const Status done = differentiate(graph, loss);
  return done ? "" : done.error().message;
}

}  // namespace

TEST_CASE("the gradient of every loss reaches the parameters", "[graph][loss]") {
  for (const Kind kind : {Kind::softmax_cross_entropy, Kind::sigmoid_cross_entropy, Kind::squared_error,
                          Kind::absolute_error, Kind::huber, Kind::hinge, Kind::triplet, Kind::crf_loss}) {
    INFO(ops::name_of(kind));
    Trial trial(model_for(kind), spec(kind));
    CHECK(trial.loss() > 0);
    const std::vector<double> gradients = trial.gradients();
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      const double middle = trial.values()[i];
      trial.values()[i] = middle + 1e-5;
      const double above = trial.loss();
      trial.values()[i] = middle - 1e-5;
      const double below = trial.loss();
      trial.values()[i] = middle;
      INFO("parameter " << i);
      CHECK(gradients[i] == Approx((above - below) / 2e-5).margin(1e-7));
    }
  }
}

TEST_CASE("a loss says what it needs", "[graph][loss]") {
  CHECK(refusal(model_for(Kind::hinge), spec(Kind::triplet)) ==
        "triplet needs three results: anchor, positive, negative, and the network gives [N, 4]");
  CHECK(refusal(model_for(Kind::hinge), spec(Kind::crf_loss)) ==
        "crf_loss needs emissions [N, T, K], transitions and perhaps lengths, and the network gives [N, 4]");
  CHECK(refusal(model_for(Kind::crf_loss), spec(Kind::hinge)) ==
        "hinge needs a score for each class, and the network gives [N, 4, 3]");
  LossSpec weighted = spec(Kind::softmax_cross_entropy);
  weighted.class_weights.pop_back();
  CHECK(refusal(model_for(Kind::hinge), weighted) ==
        "softmax_cross_entropy needs 3 classes for its weights, and the network gives [N, 4]");
  CHECK(refusal(model_for(Kind::hinge), {.kind = Kind::conv2d}) == "conv2d is no loss");
}

namespace {

constexpr std::int64_t kWords = 7, kHidden = 8;
constexpr std::uint32_t kSentences = 8;

/// A bidirectional lstm under a random field.
Model tagger() {
  Builder builder(kSentences);
  builder.origin("tagger", "");
  const ValueId x = builder.input("x", Signature({tensor::kBatch, kTimes, kWords}));
  const ValueId lengths = builder.input("lengths", Signature({tensor::kBatch}, DType::i32));
  const ValueId w = parameter(builder, "lstm.w", {2, 4 * kHidden, kWords}, Init::glorot);
  const ValueId r = parameter(builder, "lstm.r", {2, 4 * kHidden, kHidden}, Init::orthogonal);
  const ValueId b = parameter(builder, "lstm.b", {2, 8 * kHidden}, Init::forget_bias);
  const auto states =
      builder.add_all(Kind::recurrent, {.cell = ops::Cell::lstm, .direction = ops::Direction::bidirectional},
                      {x, w, r, b, lengths});
  if (!states) FAIL(states.error().message);
  const ValueId emissions = dense(builder, (*states)[0], "out.w", kTags, -1);
  const ValueId transitions = parameter(builder, "transitions", {kTags + 2, kTags + 2}, Init::zero);
  return std::move(builder).finish({emissions, transitions, lengths});
}

}  // namespace

TEST_CASE("a tagger learns tags that depend on both neighbours, and predicts the best path",
          "[graph][loss]") {
  NetworkOptions options{.batch_max = kSentences, .seed = 3};
  options.loss.kind = Kind::crf_loss;
  auto network = Network::build(tagger(), options);
  if (!network) FAIL(network.error().message);
  Random random(4);
  std::vector<float> x(kSentences * kTimes * kWords, 0.0f);
  std::vector<std::int32_t> lengths(kSentences), tags(kSentences * kTimes, 0);
  std::int32_t words[kSentences][kTimes];
  for (std::uint32_t n = 0; n < kSentences; ++n) {
    lengths[n] = static_cast<std::int32_t>(1 + random.below(kTimes));
    for (std::int32_t t = 0; t < lengths[n]; ++t) {
      words[n][t] = static_cast<std::int32_t>(random.below(kWords));
      x[(n * kTimes + static_cast<std::uint32_t>(t)) * kWords + static_cast<std::uint32_t>(words[n][t])] = 1;
    }
    for (std::int32_t t = 0; t < lengths[n]; ++t) {
      const std::int32_t before = t > 0 ? words[n][t - 1] : 0;
      const std::int32_t behind = t + 1 < lengths[n] ? words[n][t + 1] : 0;
      tags[n * kTimes + static_cast<std::uint32_t>(t)] = (before + behind) % static_cast<std::int32_t>(kTags);
    }
  }
  const void* const inputs[] = {x.data(), lengths.data()};
  const Feed feed{.count = kSentences, .inputs = inputs, .labels = tags.data()};
  StepResult last;
  for (int step = 0; step < 300; ++step) {
    last = (*network)->train_step(feed, nullptr);
    for (std::size_t i = 0; i < (*network)->values().size(); ++i)
      (*network)->values()[i] -= 0.1f * (*network)->gradients()[i];
  }
  CHECK(last.loss_sum < 0.5);
  CHECK(last.correct == kSentences);
  CHECK(last.weight_sum == kSentences);
  std::vector<float> predicted(kSentences * kTimes);
  (*network)->predict(feed, predicted, nullptr);
  CHECK(std::equal(predicted.begin(), predicted.end(), tags.begin()));
}

}  // namespace trainyard::graph::test
