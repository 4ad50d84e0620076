#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/unit/config/example.hpp"

using namespace trainyard;
using test::example;

TEST_CASE("a job has defaults, and its paths are relative to its file", "[config]") {
  const auto spec = config::read_job(example, "job.yaml", "/jobs").value();
  CHECK(spec.name == "flowers");
  CHECK(spec.data.path == "/jobs/photos");
  CHECK(spec.cluster.trainers == 1);
  CHECK(spec.train.optimizer.learning_rate == 0.05);
  CHECK(spec.output.path == (std::filesystem::current_path() / "out/flowers").string());
  REQUIRE(spec.model.layers.size() == 4);
  CHECK(spec.model.layers[0].filters == 8);
  CHECK(spec.model.layers[3].line == 10);
  CHECK(spec.data.transform[2].mean[0] == Approx(0.485));
}

TEST_CASE("overrides win over the file, and their paths are relative to the working directory", "[config]") {
  const std::vector<config::Override> overrides{{"data.source.path", "here"},
                                                {"train.epochs", "3"},
                                                {"train.early_stop.patience", "2"},
                                                {"model.layers.0.conv2d.filters", "16"}};
  const auto spec = config::read_job(example, "job.yaml", "/jobs", overrides).value();
  CHECK(spec.data.path == (std::filesystem::current_path() / "here").string());
  CHECK(spec.train.epochs == 3);
  CHECK(spec.train.early_stop->patience == 2);
  CHECK(spec.model.layers[0].filters == 16);
}

TEST_CASE("a printed job reads back as the same job", "[config]") {
  const auto spec =
      config::read_job(example, "job.yaml", "/jobs",
                       std::vector<config::Override>{{"cluster.placement.require", "{zone: a b}"}})
          .value();
  const std::string printed = config::print_job(spec);
  INFO(printed);
  const auto again = config::read_job(printed, "printed", "/elsewhere");
  REQUIRE(again.has_value());
  CHECK(config::print_job(*again) == printed);
  CHECK(again->data.path == "/jobs/photos");
  CHECK(again->cluster.require == std::map<std::string, std::string>{{"zone", "a b"}});
  const std::string cluster = config::print_cluster({});
  CHECK(config::print_cluster(config::read_cluster(cluster, "cluster.yaml").value()) == cluster);
}

TEST_CASE("an onnx file lies beside the job file, and a printed job says where", "[config]") {
  const std::string text =
      "name: a\ndata: {source: {path: photos}}\nmodel: {onnx: nets/a.onnx, head: features}\n";
  const auto spec = config::read_job(text, "job.yaml", "/jobs").value();
  CHECK(spec.model.onnx == "/jobs/nets/a.onnx");
  CHECK(spec.model.head == "features");
  const auto again = config::read_job(config::print_job(spec), "printed", "/elsewhere").value();
  CHECK(again.model.onnx == "/jobs/nets/a.onnx");
  CHECK(again.model.head == "features");
}

TEST_CASE("every file in configs is valid", "[config]") {
  const std::filesystem::path jobs = "configs/jobs";
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(jobs)) {
    const auto text = config::load_text(entry.path().string()).value();
    const auto spec = config::read_job(text, entry.path().string(), jobs.string());
    INFO((spec ? std::string() : spec.error().message));
    CHECK(spec.has_value());
    CHECK(config::kind_of(text) == "job");
    ++count;
  }
  CHECK(count >= 2);
  const auto cluster = config::load_text("configs/cluster.yaml").value();
  CHECK(config::kind_of(cluster) == "cluster");
  const auto config = config::read_cluster(cluster, "configs/cluster.yaml");
  INFO((config ? std::string() : config.error().message));
  REQUIRE(config.has_value());
  CHECK(config::print_cluster(*config) == config::print_cluster({}));
}

TEST_CASE("schema and reference name every option with its meaning", "[config]") {
  const Json schema = config::job_schema();
  CHECK(schema["$schema"] == "https://json-schema.org/draft/2020-12/schema");
  CHECK(schema["properties"]["train"]["properties"]["epochs"]["minimum"] == 1);
  CHECK(schema["properties"]["train"]["properties"]["epochs"]["default"] == 10);
  CHECK(schema["required"] == Json::array({"name", "data", "model"}));
  CHECK(config::job_reference().find("| `train.optimizer.learning_rate` | number 0..1000 | `0.05` | Step "
                                     "size. Of sgd, adam (0.001), ") != std::string::npos);
  CHECK(config::job_reference().find(
            "| `train.optimizer.epsilon` | number 1e-20..1 | `1e-08` | Added to the "
            "denominator. Of adam, adamw, adagrad (1e-10), rmsprop, lamb (1e-06). |") != std::string::npos);
  CHECK(config::cluster_schema()["properties"]["master"]["properties"]["listen"]["default"] ==
        "127.0.0.1:7077");
}
