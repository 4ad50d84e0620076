// Delayed gradients and what corrects them: docs/experiments/dc_asgd.md. One training by replay a line of
// input; dc_asgd.py gives the lines.
//   dc_asgd FOLDER MODEL.yaml SIDE TRAIN TEST    pictures below FOLDER/train/<class> and FOLDER/test/<class>,
//                                                made SIDE x SIDE; so many of them, the first of each class
// Input:  RULE TRAINERS RATE LAMBDA DECAY SEED TURNS BATCH EPOCHS CLIP DECLINES
//   RULE: sync, async, constant, adaptive. TURNS: fixed, shuffled. CLIP: bound of the gradient's norm; 0:
//   none. DECLINES: epochs after which the rate falls to a tenth, divided by semicolons; 0: none
// Output: that line, then `epoch`, mean loss and error of training, mean loss and error of the test, seconds;
//   all divided by commas, a line an epoch. A training that diverges ends with an error of 1.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <sstream>

#include "common/base/text.hpp"
#include "common/config/read.hpp"
#include "common/data/loader.hpp"
#include "common/data/split.hpp"
#include "tests/bench/replay.hpp"

namespace trainyard::bench {
namespace {

void need(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "%s\n", status.error().message.c_str());
  std::exit(1);
}

template <typename T>
T need(Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "%s\n", result.error().message.c_str());
  std::exit(1);
}

/// Records of one part as floats, the same number of each class; those of training are mirrored by chance.
class Pictures {
 public:
  Pictures(const std::string& folder, std::uint32_t side, std::uint32_t count, bool training)
      : training_(training) {
    const auto set = need(data::open_dataset({.source = config::SourceKind::images, .path = folder}));
    const auto pipeline = need(data::Pipeline::make(transforms(side), *set));
    shape_ = {pipeline.channels(), pipeline.height(), pipeline.width()};
    classes_ = static_cast<std::uint32_t>(set->classes().size());
    std::vector<std::size_t> taken(classes_, 0);
    for (std::uint32_t record = 0; record < set->size(); ++record) {
      if (++taken[static_cast<std::size_t>(set->label(record))] > count / classes_) continue;
      labels_.push_back(set->label(record));
      floats_.resize(labels_.size() * pipeline.floats());
      need(pipeline.apply(need(set->read(record, 0, 0)), false, 0,
                          std::span(floats_).last(pipeline.floats())));
    }
  }
  std::uint32_t size() const { return static_cast<std::uint32_t>(labels_.size()); }
  std::uint32_t classes() const { return classes_; }
  graph::InputShape shape() const { return shape_; }

  struct Batch {
    std::vector<float> images;
    std::vector<std::int32_t> labels;
    std::vector<std::uint64_t> keys;
  };
  void fill(std::span<const std::uint32_t> records, std::uint64_t seed, std::uint64_t epoch,
            Batch& out) const {
    out = {};
    const std::size_t size = floats_.size() / labels_.size();
    for (const std::uint32_t record : records) {
      const auto image = std::span(floats_).subspan(record * size, size);
      const std::uint64_t key = mix(seed, epoch, record);
      out.images.insert(out.images.end(), image.begin(), image.end());
      if (training_ && Random(key).chance(0.5))
        for (auto row = out.images.end() - static_cast<std::ptrdiff_t>(size); row != out.images.end();
             row += shape_.width)
          std::reverse(row, row + shape_.width);
      out.labels.push_back(labels_[record]);
      out.keys.push_back(key);
    }
  }

 private:
  static std::vector<config::Transform> transforms(std::uint32_t side) {
    using Kind = config::Transform::Kind;
    return {{.kind = Kind::resize, .height = side, .width = side},
            {.kind = Kind::normalize, .mean = {0.49F, 0.48F, 0.45F}, .deviation = {0.25F, 0.24F, 0.26F}}};
  }
  bool training_;
  graph::InputShape shape_;
  std::uint32_t classes_ = 0;
  std::vector<float> floats_;
  std::vector<std::int32_t> labels_;
};

struct Run {
  std::string rule, turns, declines;
  std::uint32_t trainers = 1, batch = 32, epochs = 1;
  double rate = 0, lambda = 0, decay = 0, clip = 0;
  std::uint64_t seed = 1;
};

ReplaySettings settings_of(const Run& run, std::uint64_t pushes_per_epoch) {
  ReplaySettings out;
  out.trainers = run.trainers;
  out.pushes_per_epoch = pushes_per_epoch;
  out.turns = run.turns == "shuffled" ? Turns::shuffled : Turns::fixed;
  out.seed = mix(run.seed, std::uint64_t{3});
  out.train.epochs = run.epochs;
  out.train.optimizer = {.learning_rate = run.rate, .weight_decay = 1e-4};
  if (run.clip > 0) out.train.clip.norm = run.clip;
  std::istringstream declines(run.declines);
  for (std::string one; std::getline(declines, one, ';');)
    if (const auto epoch = std::strtoull(one.c_str(), nullptr, 10); epoch > 0)
      out.train.schedule.milestones.push_back(epoch);
  if (!out.train.schedule.milestones.empty()) out.train.schedule.kind = config::ScheduleKind::step;
  if (run.rule == "async") out.strategy.update = config::UpdateRule::async;
  if (run.rule == "constant" || run.rule == "adaptive") {
    using Variant = config::DelaySection::Variant;
    out.strategy.update = config::UpdateRule::dc_asgd;
    out.strategy.delay = {.variant = run.rule == "constant" ? Variant::constant : Variant::adaptive,
                          .lambda = run.lambda,
                          .decay = run.decay};
  }
  return out;
}

struct Score {
  double loss = 0, error = 0;
};

Score test(graph::Network& network, const Pictures& pictures, std::uint32_t batch_max) {
  Score score;
  Pictures::Batch batch;
  const std::uint32_t classes = pictures.classes();
  std::vector<float> probabilities(std::size_t{batch_max} * classes);
  for (std::uint32_t at = 0; at < pictures.size(); at += batch_max) {
    std::vector<std::uint32_t> records;
    for (std::uint32_t i = at; i < std::min(at + batch_max, pictures.size()); ++i) records.push_back(i);
    pictures.fill(records, 0, 0, batch);
    network.predict(batch.images, static_cast<std::uint32_t>(records.size()), probabilities);
    for (std::size_t i = 0; i < records.size(); ++i) {
      const auto row = std::span(probabilities).subspan(i * classes, classes);
      const auto label = static_cast<std::size_t>(batch.labels[i]);
      score.loss -= std::log(std::max(static_cast<double>(row[label]), 1e-30));
      score.error += std::max_element(row.begin(), row.end()) - row.begin() == batch.labels[i] ? 0 : 1;
    }
  }
  return {score.loss / pictures.size(), score.error / pictures.size()};
}

void print(const Run& run, std::uint32_t epoch, const Score& training, const Score& tested, double seconds) {
  std::printf("%s,%u,%g,%g,%g,%llu,%s,%u,%u,%g,%s,%u,%.4f,%.4f,%.4f,%.4f,%.1f\n", run.rule.c_str(),
              run.trainers, run.rate, run.lambda, run.decay, static_cast<unsigned long long>(run.seed),
              run.turns.c_str(), run.batch, run.epochs, run.clip, run.declines.c_str(), epoch, training.loss,
              training.error, tested.loss, tested.error, seconds);
  std::fflush(stdout);
}

void train(const Run& run, const config::ModelSection& model, const Pictures& pictures,
           const Pictures& tests) {
  const auto began = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  auto network =
      need(graph::Network::build(model, pictures.shape(), pictures.classes(),
                                 {.batch_max = run.batch, .seed = mix(run.seed, std::uint64_t{1})}));
  auto tested = need(graph::Network::build(model, pictures.shape(), pictures.classes(),
                                           {.batch_max = 100, .training = false}));
  // All trainers have whole rounds of whole batches, so that every rule sees the same samples.
  const std::uint32_t round = run.batch * run.trainers;
  const std::uint32_t batches = pictures.size() / round * run.trainers;
  Replay replay(*network, settings_of(run, batches));
  std::vector<std::uint32_t> records(pictures.size());
  for (std::uint32_t i = 0; i < records.size(); ++i) records[i] = i;
  Pictures::Batch batch;
  for (std::uint32_t epoch = 0; epoch < run.epochs; ++epoch) {
    const std::uint64_t order_seed = mix(run.seed, std::uint64_t{2});
    const auto order = data::epoch_order(records, order_seed, epoch);
    Score training;
    for (std::uint32_t i = 0; i < batches; ++i) {
      pictures.fill(std::span(order).subspan(std::size_t{i} * run.batch, run.batch), order_seed, epoch,
                    batch);
      const auto step = replay.push(batch.images, batch.labels, batch.keys);
      if (!step.finite) {
        constexpr double none = std::numeric_limits<double>::infinity();
        print(run, run.epochs, {none, 1}, {none, 1}, seconds());
        return;
      }
      training.loss += step.loss_sum;
      training.error += run.batch - step.correct;
    }
    const double seen = static_cast<double>(batches) * run.batch;
    const auto values = replay.values();
    std::copy(values.begin(), values.end(), tested->values().begin());
    print(run, epoch + 1, {training.loss / seen, training.error / seen}, test(*tested, tests, 100),
          seconds());
  }
}

}  // namespace
}  // namespace trainyard::bench

int main(int argc, char** argv) {
  using namespace trainyard;
  using namespace trainyard::bench;
  if (argc != 6) {
    std::fprintf(stderr, "usage: dc_asgd FOLDER MODEL.yaml SIDE TRAIN TEST\n");
    return 2;
  }
  const auto number = [&](int i) { return static_cast<std::uint32_t>(std::strtoul(argv[i], nullptr, 10)); };
  const std::string folder = argv[1];
  const config::ModelSection model = need(config::read_model(need(config::load_text(argv[2])), argv[2]));
  const Pictures pictures(folder + "/train", number(3), number(4), true);
  const Pictures tests(folder + "/test", number(3), number(5), false);
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    Run run;
    if (words >> run.rule >> run.trainers >> run.rate >> run.lambda >> run.decay >> run.seed >> run.turns >>
        run.batch >> run.epochs >> run.clip >> run.declines)
      train(run, model, pictures, tests);
    else
      std::fprintf(stderr, "not a run: %s\n", line.c_str());
  }
}
