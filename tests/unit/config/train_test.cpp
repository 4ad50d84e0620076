#include <catch2/catch.hpp>

#include "tests/unit/config/example.hpp"

using namespace trainyard;
using config::OptimizerKind;
using test::example;
using test::job_error;

namespace {

config::TrainSection train_of(const std::string& section) {
  const auto spec = config::read_job(example + "train: {" + section + "}\n", "job.yaml", "/jobs");
  INFO((spec ? std::string() : spec.error().message));
  REQUIRE(spec.has_value());
  return spec->train;
}

std::string error_of(const std::string& section) { return job_error(example + "train: {" + section + "}\n"); }

}  // namespace

TEST_CASE("each optimizer has defaults of its own", "[config]") {
  CHECK(train_of("").optimizer.learning_rate == 0.05);
  CHECK(train_of("optimizer: {kind: sgd}").optimizer.momentum == 0);
  const auto adam = train_of("optimizer: {kind: adam}").optimizer;
  CHECK(adam.kind == OptimizerKind::adam);
  CHECK(adam.learning_rate == 0.001);
  CHECK(adam.betas == std::array{0.9, 0.999});
  CHECK(adam.epsilon == 1e-8);
  CHECK(adam.weight_decay == 0);
  CHECK(train_of("optimizer: {kind: adamw}").optimizer.weight_decay == 0.01);
  CHECK(train_of("optimizer: {kind: adagrad}").optimizer.epsilon == 1e-10);
  CHECK(train_of("optimizer: {kind: rmsprop}").optimizer.rho == 0.99);
  CHECK(train_of("optimizer: {kind: lamb}").optimizer.epsilon == 1e-6);
  CHECK(train_of("optimizer: {kind: lars}").optimizer.momentum == 0.9);
  const auto own = train_of("optimizer: {betas: [0.5, 0.75], kind: adam, learning_rate: 0.3, epsilon: 1e-3}");
  CHECK(own.optimizer.betas == std::array{0.5, 0.75});
  CHECK(own.optimizer.learning_rate == 0.3);
  CHECK(own.optimizer.epsilon == 1e-3);
}

TEST_CASE("memory and determinism of a training have keys", "[config]") {
  CHECK_FALSE(train_of("").low_memory);
  CHECK(train_of("memory: low").low_memory);
  CHECK_FALSE(train_of("memory: normal").low_memory);
  CHECK(train_of("deterministic: true").deterministic);
  CHECK_THAT(error_of("memory: lo"), Catch::Contains("not one of normal, low; did you mean 'low'?"));
}

TEST_CASE("an option that the optimizer does not use is an error that says which it has", "[config]") {
  CHECK(
      error_of("optimizer: {kind: adam, momentum: 0.9}") ==
      "job.yaml:11:43: train.optimizer.momentum: momentum is not an option of adam, which has learning_rate, "
      "weight_decay, betas, epsilon, no_decay");
  CHECK_THAT(error_of("optimizer: {kind: ftrl, weight_decay: 0.1}"),
             Catch::Contains("weight_decay is not an option of ftrl, which has learning_rate, "
                             "initial_accumulator, l1, l2, beta, no_decay"));
  CHECK_THAT(error_of("optimizer: {betas: [0.9, 0.99]}"), Catch::Contains("betas is not an option of sgd"));
  CHECK_THAT(error_of("schedule: {kind: cosine, factor: 0.5}"),
             Catch::Contains("factor is not an option of cosine, which has warmup_steps, min_rate"));
  // Only the kind is wrong: what it would have had is not known.
  CHECK(
      error_of("optimizer: {kind: adamm, betas: [0.9, 0.99]}") ==
      "job.yaml:11:27: train.optimizer.kind: 'adamm' is not one of sgd, adam, adamw, adagrad, rmsprop, ftrl, "
      "lars, lamb; did you mean 'adam'?");
  CHECK_THAT(error_of("optimizer: {kind: adam, betass: [0.9, 0.99]}"),
             Catch::Contains("did you mean 'betas'?"));
}

TEST_CASE("options of training have ranges and go together", "[config]") {
  CHECK_THAT(error_of("optimizer: {kind: adam, betas: [0.9, 1]}"),
             Catch::Contains("1 is outside 0..0.9999999"));
  CHECK_THAT(error_of("optimizer: {kind: adam, betas: [0.9]}"),
             Catch::Contains("expected a list of two numbers"));
  CHECK_THAT(error_of("optimizer: {kind: adam, betas: [a, 0.9]}"),
             Catch::Contains("expected a number, got 'a'"));
  CHECK_THAT(error_of("optimizer: {nesterov: true}"), Catch::Contains("nesterov: needs a momentum above 0"));
  CHECK_THAT(error_of("schedule: {kind: step, milestones: [3, 3]}"),
             Catch::Contains("3 does not lie above 3"));
  CHECK_THAT(error_of("schedule: {kind: step, milestones: [3], step_epochs: 2}"),
             Catch::Contains("step_epochs: excludes milestones"));
  CHECK_THAT(error_of("schedule: {kind: cosine, min_rate: 0.5}"),
             Catch::Contains("min_rate: 0.5 is above the learning rate of 0.05"));
  CHECK_THAT(error_of("schedule: {kind: polynomial, end_rate: 0.5}"),
             Catch::Contains("is above the learning rate"));
  CHECK_THAT(error_of("optimizer: {kind: ftrl}, schedule: {warmup_steps: 5}"),
             Catch::Contains("train.schedule: ftrl needs a rate that never changes"));
  CHECK_THAT(error_of("optimizer: {kind: ftrl}, schedule: {kind: cosine}"),
             Catch::Contains("ftrl needs a rate"));
  CHECK_THAT(error_of("clip: {norm: 1, value: 1}"), Catch::Contains("norm and value exclude each other"));
  CHECK_THAT(error_of("clip: {norm: 0}"), Catch::Contains("is outside"));
  CHECK_THAT(error_of("accumulation: 0"), Catch::Contains("0 is outside 1..4096"));
  CHECK_THAT(error_of("ema: {decay: 1}"), Catch::Contains("1 is outside"));
}

TEST_CASE("clip, accumulation, averages and rules for tensors are read", "[config]") {
  const auto plain = train_of("");
  CHECK_FALSE(plain.clip.norm);
  CHECK_FALSE(plain.ema);
  CHECK(plain.accumulation == 1);
  const auto train = train_of(
      "clip: {norm: 2.5}, accumulation: 4, ema: {}, parameters: [{match: \"conv1.*\", learning_rate: 0.1, "
      "weight_decay: 0, freeze: true}, {match: \"*.bias\", learning_rate: 2}]");
  CHECK(train.clip.norm == 2.5);
  CHECK(train.accumulation == 4);
  CHECK(train.ema->decay == 0.999);
  REQUIRE(train.parameters.size() == 2);
  CHECK(train.parameters[0].match == "conv1.*");
  CHECK(train.parameters[0].weight_decay == 0.0);
  CHECK(train.parameters[0].freeze == true);
  CHECK_FALSE(train.parameters[1].freeze.has_value());
  CHECK(error_of("parameters: [{match: a}]") ==
        "job.yaml:11:22: train.parameters[0]: says nothing: add learning_rate, weight_decay or freeze");
  CHECK_THAT(error_of("parameters: [{learning_rate: 1}]"),
             Catch::Contains("train.parameters[0].match: is missing"));
  CHECK_THAT(error_of("parameters: [{match: a, freez: true}]"), Catch::Contains("did you mean 'freeze'?"));
  CHECK_THAT(error_of("optimizer: {kind: ftrl}, parameters: [{match: a, weight_decay: 0.1}]"),
             Catch::Contains("weight_decay: is not an option of ftrl"));
}

TEST_CASE("training may stop early by any metric of the history", "[config]") {
  for (const char* metric : config::history_metrics)
    CHECK(train_of(std::string("early_stop: {metric: ") + metric + "}").early_stop->metric == metric);
  CHECK_THAT(error_of("early_stop: {metric: validation/acuracy}"),
             Catch::Contains("did you mean 'validation/accuracy'?"));
  CHECK_THAT(job_error(example + "train: {early_stop: {}}\n",
                       {{"data.split", "{train: 0.9, validation: 0, test: 0.1}"}}),
             Catch::Contains("validation/accuracy needs records to validate"));
}

TEST_CASE("a printed training section reads back as the same, whatever the kinds", "[config]") {
  std::vector<std::string> sections;
  for (const auto& [name, kind] : config::optimizer_names)
    sections.push_back(std::string("optimizer: {kind: ") + name + "}");
  for (const auto& [name, kind] : config::schedule_names)
    sections.push_back(std::string("schedule: {kind: ") + name + "}");
  sections.emplace_back("schedule: {kind: step, milestones: [2, 4]}");
  sections.emplace_back("clip: {value: 0.5}, ema: {decay: 0.9}, parameters: [{match: \"*\", freeze: false}]");
  sections.emplace_back("optimizer: {no_decay: [\"embed*\"]}");
  for (const std::string& section : sections) {
    INFO(section);
    const auto spec = config::read_job(example + "train: {" + section + "}\n", "job.yaml", "/jobs").value();
    const std::string printed = config::print_job(spec);
    INFO(printed);
    const auto again = config::read_job(printed, "printed", "/elsewhere");
    INFO((again ? std::string() : again.error().message));
    REQUIRE(again.has_value());
    CHECK(config::print_job(*again) == printed);
    CHECK(again->train.optimizer.kind == spec.train.optimizer.kind);
    CHECK(again->train.schedule.milestones == spec.train.schedule.milestones);
  }
}
