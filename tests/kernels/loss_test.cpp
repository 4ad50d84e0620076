// Losses and conditional random fields: the cpu backend against the reference, gradients against differences
// of the loss, and the fields against the sum over every path.
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/kernels/slopes.hpp"

namespace trainyard::ops {
namespace {

using Whole = std::vector<std::int32_t>;

Whole random_labels(Random& random, std::int64_t count, std::int64_t classes) {
  Whole labels;
  for (std::int64_t i = 0; i < count; ++i)
    labels.push_back(static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(classes))));
  return labels;
}

Tensor summary(const Outcome& outcome) {
  return {{3}, {outcome.loss_sum, outcome.weight_sum, static_cast<double>(outcome.correct)}};
}

/// The gradients, then the outcome.
std::vector<Tensor> run_loss(Lab& lab, Kind kind, const Attributes& attributes,
                             const std::vector<Held>& inputs, const std::vector<Shape>& gradients) {
  std::vector<Signature> outputs(gradients.begin(), gradients.end());
  outputs.push_back(Signature::opaque_bytes());
  const std::vector<Held> made = lab.run(kind, attributes, inputs, outputs);
  std::vector<Tensor> results;
  for (std::size_t i = 0; i < gradients.size(); ++i) results.push_back(lab.take(made[i]));
  results.push_back(summary(lab.outcome(made.back())));
  return results;
}

struct ClassCase {
  Shape x;
  double smoothing = 0;
  bool weighted = false;
  std::int64_t ignore = INT64_MIN;
  double scale = 3;
  Shape labels() const {
    std::vector<std::int64_t> dims = x.dims();
    dims.erase(dims.begin() + 1);
    return Shape(std::move(dims));
  }
};

std::vector<Tensor> cross_entropy(Lab& lab, const ClassCase& at, const Tensor& x, const Whole& labels,
                                  const Tensor& weights) {
  const Attributes attributes{.smoothing = at.smoothing, .ignore = at.ignore};
  std::vector<Held> inputs{lab.activation(x), lab.whole(at.labels(), DType::i32, labels)};
  if (at.weighted) inputs.push_back(lab.plain(weights));
  return run_loss(lab, Kind::softmax_cross_entropy, attributes, inputs, {at.x});
}

std::vector<ClassCase> class_cases() {
  std::vector<ClassCase> cases;
  for (const Shape& x : {Shape{1, 1}, Shape{32, 5}, Shape{7, 1000}, Shape{3, 4, 6}, Shape{2, 17, 3, 5},
                         Shape{4, 10, 1, 1}, Shape{2, 3, 1}, Shape{5, 33, 40}})
    for (const double smoothing : {0.0, 0.1})
      for (const bool weighted : {false, true})
        for (const std::int64_t ignore : {std::int64_t{INT64_MIN}, std::int64_t{0}, std::int64_t{-100}})
          cases.push_back({x, smoothing, weighted, ignore});
  cases.push_back({.x = {6, 8}, .scale = 90});
  cases.push_back({.x = {6, 8}, .scale = 1e4});
  return cases;
}

TEST_CASE("the cross-entropy of a softmax agrees with plain loops, smoothed, weighted, over sequences",
          "[softmax_cross_entropy]") {
  Random random(1);
  for (const ClassCase& at : class_cases()) {
    INFO(at.x.text() << " smoothing " << at.smoothing << " ignore " << at.ignore);
    const Tensor x = random_tensor(random, at.x, -at.scale, at.scale);
    const Tensor weights = random_tensor(random, {at.x[1]}, 0.1, 2);
    Whole labels = random_labels(random, at.labels().elements(), at.x[1]);
    if (at.ignore == -100) labels[0] = -100;
    agree([&](Lab& lab) { return cross_entropy(lab, at, x, labels, weights); });
    std::fill(labels.begin(), labels.end(), static_cast<std::int32_t>(at.ignore));
    if (at.ignore == INT64_MIN) continue;
    agree([&](Lab& lab) {
      const std::vector<Tensor> made = cross_entropy(lab, at, x, labels, weights);
      CHECK(made[1].values == std::vector<double>{0, 0, 0});
      for (const double value : made[0].values) CHECK(value == 0);
      return made;
    });
  }
}

TEST_CASE("the gradient of a softmax's cross-entropy is its slope", "[softmax_cross_entropy]") {
  Random random(2);
  for (const ClassCase& at : {ClassCase{{3, 4}}, ClassCase{{3, 4}, 0.2, true, 1},
                              ClassCase{{2, 3, 4}, 0.1, true}, ClassCase{{2, 3, 2, 2}, 0, false, 2}}) {
    INFO(at.x.text());
    const Tensor x = random_tensor(random, at.x), weights = random_tensor(random, {at.x[1]}, 0.1, 2);
    const Whole labels = random_labels(random, at.labels().elements(), at.x[1]);
    Lab lab = Lab::reference();
    require_slopes(
        [&](const std::vector<Tensor>& in) {
          return cross_entropy(lab, at, in[0], labels, weights)[1].values[0];
        },
        {x}, {cross_entropy(lab, at, x, labels, weights)[0]});
  }
}

TEST_CASE("a weight is that of the class it stands for", "[softmax_cross_entropy]") {
  Lab lab = Lab::reference();
  const ClassCase at{{2, 2}, 0, true};
  const Tensor even{{2, 2}, {0, 0, 0, 0}};
  const std::vector<Tensor> made = cross_entropy(lab, at, even, {0, 1}, {{2}, {3, 5}});
  require_close(made[1], {{3}, {8 * std::log(2.0), 8, 1}}, 1e-12);
  require_close(made[0], {{2, 2}, {-1.5, 1.5, 2.5, -2.5}}, 1e-12);
}

constexpr Kind kValueLosses[] = {Kind::sigmoid_cross_entropy, Kind::squared_error, Kind::absolute_error,
                                 Kind::huber};

Tensor random_targets(Random& random, Kind kind, const Shape& shape) {
  Tensor targets = random_tensor(random, shape, -2, 2);
  if (kind != Kind::sigmoid_cross_entropy) return targets;
  for (double& value : targets.values) value = value > 0 ? 1 : 0;
  return targets;
}

TEST_CASE("losses of values agree with plain loops", "[value_loss]") {
  Random random(3);
  for (const Kind kind : kValueLosses)
    for (const Shape& shape : {Shape{1, 1}, Shape{32}, Shape{5, 33}, Shape{3, 4, 5}, Shape{2, 16, 5, 5},
                               Shape{300, 40}, Shape{1, 70000}})
      for (const double scale : {2.0, 60.0}) {
        INFO(name_of(kind) << ' ' << shape.text() << " up to " << scale);
        const Tensor x = random_tensor(random, shape, -scale, scale);
        const Tensor targets = random_targets(random, kind, shape);
        agree([&](Lab& lab) {
          return run_loss(lab, kind, {.alpha = 0.75}, {lab.activation(x), lab.activation(targets)}, {shape});
        });
      }
}

TEST_CASE("the gradients of losses of values are their slopes", "[value_loss]") {
  Random random(4);
  for (const Kind kind : kValueLosses) {
    INFO(name_of(kind));
    const Shape shape{3, 4};
    const Tensor x = random_tensor(random, shape, -2, 2), targets = random_targets(random, kind, shape);
    Lab lab = Lab::reference();
    const auto run = [&](const Tensor& at) {
      return run_loss(lab, kind, {.alpha = 0.75}, {lab.plain(at), lab.plain(targets)}, {shape});
    };
    require_slopes([&](const std::vector<Tensor>& in) { return run(in[0])[1].values[0]; }, {x}, {run(x)[0]});
  }
}

TEST_CASE("losses of values have their textbook values", "[value_loss]") {
  Lab lab = Lab::reference();
  const Tensor x{{2, 2}, {1, -3, 0.5, 2}}, targets{{2, 2}, {0, 0, 1, 1}};
  const auto outcome = [&](Kind kind) {
    return run_loss(lab, kind, {.alpha = 1}, {lab.plain(x), lab.plain(targets)}, {x.shape})[1];
  };
  require_close(outcome(Kind::squared_error), {{3}, {5 + 0.625, 2, 0}}, 1e-12);
  require_close(outcome(Kind::absolute_error), {{3}, {2 + 0.75, 2, 0}}, 1e-12);
  require_close(outcome(Kind::huber), {{3}, {(0.5 + 2.5) / 2 + (0.125 + 0.5) / 2, 2, 0}}, 1e-12);
  const double nats = std::log1p(std::exp(1)) + std::log1p(std::exp(-3)) + std::log1p(std::exp(-0.5)) +
                      std::log1p(std::exp(-2));
  require_close(outcome(Kind::sigmoid_cross_entropy), {{3}, {nats, 2, 1}}, 1e-12);
}

TEST_CASE("hinge losses and their gradients agree with plain loops and are slopes", "[hinge]") {
  Random random(5);
  for (const Shape& shape : {Shape{1, 1}, Shape{1, 2}, Shape{9, 7}, Shape{64, 100}}) {
    INFO(shape.text());
    const Tensor x = random_tensor(random, shape);
    const Whole labels = random_labels(random, shape[0], shape[1]);
    const auto run = [&](Lab& lab, const Tensor& at) {
      return run_loss(lab, Kind::hinge, {.alpha = 1},
                      {lab.plain(at), lab.whole({shape[0]}, DType::i32, labels)}, {shape});
    };
    agree([&](Lab& lab) { return run(lab, x); });
    if (shape.elements() > 100) continue;
    Lab lab = Lab::reference();
    require_slopes([&](const std::vector<Tensor>& in) { return run(lab, in[0])[1].values[0]; }, {x},
                   {run(lab, x)[0]});
  }
}

TEST_CASE("a hinge loss looks at the strongest rival alone", "[hinge]") {
  Lab lab = Lab::reference();
  const Tensor x{{3, 3}, {0.5, 0.25, 1, 4, 1, 2, 0, 1, 0.75}};
  const auto made = run_loss(lab, Kind::hinge, {.alpha = 1},
                             {lab.plain(x), lab.whole({3}, DType::i32, Whole{0, 0, 1})}, {x.shape});
  require_close(made[0], {{3, 3}, {-1, 0, 1, 0, 0, 0, 0, -1, 1}}, 1e-12);
  require_close(made[1], {{3}, {1.5 + 0 + 0.75, 3, 2}}, 1e-12);
}

TEST_CASE("triplet losses and their gradients agree with plain loops and are slopes", "[triplet]") {
  Random random(6);
  for (const Shape& shape : {Shape{1, 1}, Shape{4, 3}, Shape{33, 64}, Shape{2, 2, 3}}) {
    INFO(shape.text());
    const std::vector<Tensor> in{random_tensor(random, shape), random_tensor(random, shape),
                                 random_tensor(random, shape)};
    const auto run = [&](Lab& lab, const std::vector<Tensor>& at) {
      return run_loss(lab, Kind::triplet, {.alpha = 0.3},
                      {lab.plain(at[0]), lab.plain(at[1]), lab.plain(at[2])}, {shape, shape, shape});
    };
    agree([&](Lab& lab) { return run(lab, in); });
    if (shape.elements() > 100) continue;
    Lab lab = Lab::reference();
    std::vector<Tensor> gradients = run(lab, in);
    gradients.pop_back();
    require_slopes([&](const std::vector<Tensor>& at) { return run(lab, at)[3].values[0]; }, in, gradients);
  }
}

struct FieldCase {
  std::int64_t n = 1, times = 1, tags = 1;
  Whole lengths;  // none: all times
  Shape emissions() const { return {n, times, tags}; }
  Shape transitions() const { return {tags + 2, tags + 2}; }
  std::int64_t length(std::int64_t sample) const {
    return lengths.empty() ? times : lengths[static_cast<std::size_t>(sample)];
  }
};

const FieldCase kFields[] = {
    {},
    {3, 4, 3, {}},
    {4, 5, 3, {5, 0, 1, 3}},
    {2, 1, 4, {}},
    {2, 6, 1, {6, 2}},
    {8, 40, 17, {40, 39, 1, 2, 33, 0, 7, 16}},
};

struct Field {
  Field(Random& random, const FieldCase& at)
      : emissions(random_tensor(random, at.emissions(), -2, 2)),
        transitions(random_tensor(random, at.transitions(), -2, 2)),
        tags(random_labels(random, at.n * at.times, at.tags)) {}
  Tensor emissions, transitions;
  Whole tags;
};

std::vector<Tensor> field_loss(Lab& lab, const FieldCase& at, const std::vector<Tensor>& in,
                               const Whole& tags) {
  std::vector<Held> inputs{lab.plain(in[0]), lab.plain(in[1]), lab.whole({at.n, at.times}, DType::i32, tags)};
  if (!at.lengths.empty()) inputs.push_back(lab.whole({at.n}, DType::i32, at.lengths));
  return run_loss(lab, Kind::crf_loss, {}, inputs, {at.emissions(), at.transitions()});
}

Tensor best_tags(Lab& lab, const FieldCase& at, const Field& field) {
  std::vector<Held> inputs{lab.plain(field.emissions), lab.plain(field.transitions)};
  if (!at.lengths.empty()) inputs.push_back(lab.whole({at.n}, DType::i32, at.lengths));
  return lab.take(lab.run(Kind::viterbi, {}, inputs, {{{at.n, at.times}, DType::i32}})[0]);
}

TEST_CASE("conditional random fields and their best paths agree with plain loops", "[crf]") {
  Random random(7);
  for (const FieldCase& at : kFields) {
    INFO(at.emissions().text());
    const Field field(random, at);
    agree([&](Lab& lab) {
      std::vector<Tensor> results = field_loss(lab, at, {field.emissions, field.transitions}, field.tags);
      results.push_back(best_tags(lab, at, field));
      return results;
    });
  }
}

TEST_CASE("the gradients of a conditional random field are its slopes", "[crf]") {
  Random random(8);
  for (const FieldCase& at : {FieldCase{2, 3, 3, {}}, FieldCase{3, 4, 2, {4, 0, 1}}}) {
    const Field field(random, at);
    Lab lab = Lab::reference();
    const std::vector<Tensor> in{field.emissions, field.transitions};
    std::vector<Tensor> gradients = field_loss(lab, at, in, field.tags);
    gradients.pop_back();
    require_slopes(
        [&](const std::vector<Tensor>& operands) {
          return field_loss(lab, at, operands, field.tags)[2].values[0];
        },
        in, gradients);
  }
}

double path_score(const FieldCase& at, const Field& field, std::int64_t sample, const Whole& path) {
  const auto step = [&](std::int64_t from, std::int64_t to) {
    return field.transitions.values[static_cast<std::size_t>(from * (at.tags + 2) + to)];
  };
  double score = step(at.tags, path[0]) + step(path.back(), at.tags + 1);
  for (std::size_t t = 0; t < path.size(); ++t) {
    const std::int64_t cell = (sample * at.times + static_cast<std::int64_t>(t)) * at.tags + path[t];
    score += field.emissions.values[static_cast<std::size_t>(cell)];
    if (t > 0) score += step(path[t - 1], path[t]);
  }
  return score;
}

TEST_CASE("a field's loss is that of all paths together, and no path is better than the best", "[crf]") {
  Random random(9);
  for (const FieldCase& at : {FieldCase{2, 4, 3, {}}, FieldCase{3, 5, 2, {1, 5, 0}}}) {
    const Field field(random, at);
    for (const bool fast : {false, true}) {
      Lab lab = fast ? Lab::cpu() : Lab::reference();
      const Tensor best = best_tags(lab, at, field);
      double loss = 0, counted = 0;
      for (std::int64_t sample = 0; sample < at.n; ++sample) {
        const std::int64_t length = at.length(sample);
        Whole best_path;
        for (std::int64_t t = 0; t < at.times; ++t) {
          const double tag = best.values[static_cast<std::size_t>(sample * at.times + t)];
          if (t < length) best_path.push_back(static_cast<std::int32_t>(tag));
          if (t >= length) CHECK(tag == 0);
        }
        if (length == 0) continue;
        double all = 0, top = -INFINITY;
        const auto paths = static_cast<std::int64_t>(std::pow(at.tags, length));
        for (std::int64_t code = 0; code < paths; ++code) {
          Whole path;
          for (std::int64_t t = 0, rest = code; t < length; ++t, rest /= at.tags)
            path.push_back(static_cast<std::int32_t>(rest % at.tags));
          const double score = path_score(at, field, sample, path);
          all += std::exp(score);
          top = std::max(top, score);
        }
        const auto first = field.tags.begin() + sample * at.times;
        loss += std::log(all) - path_score(at, field, sample, Whole(first, first + length));
        counted += 1;
        CHECK(path_score(at, field, sample, best_path) == Approx(top));
      }
      const Tensor outcome = field_loss(lab, at, {field.emissions, field.transitions}, field.tags)[2];
      CHECK(outcome.values[0] == Approx(loss).epsilon(1e-5));
      CHECK(outcome.values[1] == counted);
    }
  }
}

}  // namespace
}  // namespace trainyard::ops
