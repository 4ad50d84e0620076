#include <catch2/catch.hpp>
#include <chrono>

#include "common/base/random.hpp"
#include "tests/unit/config/example.hpp"

using namespace trainyard;
using test::example;
using test::job_error;

TEST_CASE("every problem of a file is reported at once, with its place", "[config]") {
  CHECK(job_error(example +
                  "train:\n  epochs: 0\n  optimizer: {momentun: 0.9, learning_rate: fast}\n  seed: [1]\n") ==
        "job.yaml:12:11: train.epochs: 0 is outside 1..1000000\n"
        "job.yaml:13:15: train.optimizer: unknown key 'momentun'; did you mean 'momentum'?\n"
        "job.yaml:13:45: train.optimizer.learning_rate: expected a number, got 'fast'\n"
        "job.yaml:14:9: train.seed: expected a whole number, got a list");
}

TEST_CASE("what is missing is named with what it is for", "[config]") {
  CHECK(job_error("data:\n  source: {path: a}\nmodel: {layers: [relu]}\n") ==
        "job.yaml:1:1: name: is missing: Name of the job.");
}

TEST_CASE("duplicate keys, tabs, aliases, anchors and tags are refused where they stand", "[config]") {
  CHECK_THAT(job_error("name: a\nname: b\n"), Catch::StartsWith("job.yaml:2:1: duplicate key 'name'"));
  CHECK_THAT(job_error("name: a\ndata:\n\tsource: b\n"),
             Catch::StartsWith("job.yaml:3:1: ") && Catch::Contains("tab"));
  CHECK_THAT(job_error("a: &x [1]\nb: *x\n"),
             Catch::StartsWith("job.yaml:1:") && Catch::Contains("anchors are not supported"));
  CHECK_THAT(job_error("name: !!python/object x\n"), Catch::Contains("tags are not supported"));
  CHECK_THAT(job_error("name: a\n---\nname: b\n"), Catch::Contains("second document"));
}

TEST_CASE("hostile text is refused in no time", "[config]") {
  std::string bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n";
  for (char c = 'b'; c < 'k'; ++c)
    bomb += std::string(1, c) + ": &" + c + " [*" + std::string(1, static_cast<char>(c - 1)) + ",*a]\n";
  const auto start = std::chrono::steady_clock::now();
  CHECK_FALSE(job_error(bomb).empty());
  CHECK_FALSE(job_error(std::string(10 << 20, '[')).empty());
  CHECK_FALSE(job_error(std::string(100'000, '[')).empty());
  CHECK_FALSE(job_error(std::string(1 << 19, '-')).empty());
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
}

TEST_CASE("a precision that is none is refused with the list of those that are", "[config]") {
  CHECK(job_error(example + "train: {precision: half}\n") ==
        "job.yaml:11:20: train.precision: 'half' is not one of fp32, bf16, fp16");
  CHECK(job_error(example + "train: {precision: bf61}\n") ==
        "job.yaml:11:20: train.precision: 'bf61' is not one of fp32, bf16, fp16");
}

TEST_CASE("what a later release will do is refused by name", "[config]") {
  CHECK(job_error(example + "strategy: {kind: pipeline}\n") ==
        "job.yaml:11:18: strategy.kind: 'pipeline' is not supported in this release; use parameter_server or "
        "all_reduce or local");
  CHECK(job_error(example + "cluster: {elastic: {min_trainers: 1}}\n") ==
        "job.yaml:11:20: cluster.elastic: is not supported in this release; leave it out");
}

TEST_CASE("options that contradict each other point at one of them", "[config]") {
  CHECK(job_error(example + "cluster: {parameter_servers: 0}\n") ==
        "job.yaml:11:30: cluster.parameter_servers: strategy parameter_server needs at least 1; or use "
        "strategy all_reduce, or local with one trainer");
  const std::string ring = example + "strategy: {kind: all_reduce";
  CHECK(job_error(ring + "}\ncluster: {trainers: 3, parameter_servers: 0}\n") == "");
  CHECK(job_error(ring + "}\ncluster: {trainers: 3, parameter_servers: 1}\n") ==
        "job.yaml:12:43: cluster.parameter_servers: strategy all_reduce has no parameter servers; use 0");
  CHECK(job_error(ring + ", compression: topk}\ncluster: {parameter_servers: 0}\n") ==
        "job.yaml:11:43: strategy.compression: strategy all_reduce sums gradients as they are; use none");
  CHECK_THAT(job_error(example, {{"data.split.train", "0.5"}}),
             Catch::StartsWith("--set data.split.train=0.5") || Catch::Contains("sum to 0.7"));
}

TEST_CASE("update rules are held against what they do not go with", "[config]") {
  const auto error = [](const std::string& more) { return job_error(example + more); };
  using Catch::Contains;
  CHECK_THAT(error("strategy: {update: asynch}\n"), Contains("did you mean 'async'?"));
  CHECK_THAT(error("strategy: {backup_trainers: 1}\n"),
             Contains("strategy.backup_trainers: 1 of 1 trainers; at least one has to be waited for"));
  CHECK_THAT(error("cluster: {trainers: 3}\nstrategy: {update: ssp, backup_trainers: 1}\n"),
             Contains("only update sync waits for trainers; use 0"));
  CHECK_THAT(error("cluster: {parameter_servers: 0}\nstrategy: {kind: local, update: async}\n"),
             Contains("strategy.update: strategy local"));
  CHECK_THAT(error("strategy: {update: easgd, compression: bf16}\n"), Contains("strategy.compression: "));
  CHECK_THAT(error("strategy: {update: local_sgd}\ntrain: {ema: {decay: 0.9}}\n"), Contains("train.ema: "));
  CHECK_THAT(error("strategy: {update: dc_asgd}\ntrain: {optimizer: {kind: lars}}\n"),
             Contains("use another optimizer, or update async"));
  CHECK_THAT(error("cluster: {parameter_servers: 0, replicas: 1}\nstrategy: {kind: all_reduce}\n"),
             Contains("cluster.replicas: "));
  CHECK_THAT(error("cluster: {replicas: 2}\n"), Contains("cluster.replicas: 2 is outside 0..1"));
  CHECK(error("cluster: {trainers: 3, replicas: 1}\nstrategy: {update: dc_asgd, dc_asgd: {lambda: 0.5}}\n")
            .empty());
}

TEST_CASE("an unknown layer gets a hint", "[config]") {
  CHECK(
      job_error(
          "name: a\ndata: {source: {path: p}}\nmodel:\n  layers:\n    - conv2: {filters: 3, kernel: 3}\n") ==
      "job.yaml:5:7: model.layers[0]: unknown layer 'conv2'; did you mean 'conv2d'?");
}

TEST_CASE("a bad override is named as it was typed", "[config]") {
  CHECK(job_error(example, {{"train.epochs", "abc"}}) ==
        "--set train.epochs=abc: train.epochs: expected a whole number, got 'abc'");
  CHECK_THAT(job_error(example, {{"train.epoch", "3"}}), Catch::Contains("did you mean 'epochs'?"));
  CHECK(config::parse_override("x").error().message ==
        "--set x: expected key.path=value, for example train.epochs=5");
}

TEST_CASE("damaged files never crash the reader", "[config]") {
  Random random(7);
  for (int round = 0; round < 3000; ++round) {
    std::string text = example;
    for (std::uint64_t i = 0, n = 1 + random.below(4); i < n; ++i)
      text[random.below(text.size())] = static_cast<char>(random.below(256));
    if (random.chance(0.2)) text.resize(random.below(text.size()));
    const auto spec = config::read_job(text, "job.yaml", "/jobs");
    if (!spec) CHECK_THAT(spec.error().message, Catch::StartsWith("job.yaml:"));
  }
}
