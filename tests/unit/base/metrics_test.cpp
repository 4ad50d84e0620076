#include "common/base/metrics.hpp"

#include <catch2/catch.hpp>

using namespace trainyard::metrics;

TEST_CASE("metrics print as Prometheus reads them", "[base]") {
  Registry registry;
  registry.counter("trainyard_jobs_total", "Jobs accepted.", "state=\"done\"").add(2);
  registry.counter("trainyard_jobs_total", "Jobs accepted.", "state=\"failed\"").add();
  registry.gauge("trainyard_nodes", "Nodes.").set(3);
  registry.histogram("trainyard_step_seconds", "Time of a step.").observe(0.02);
  const std::string text = registry.text();
  CHECK(text.find("# TYPE trainyard_jobs_total counter\ntrainyard_jobs_total{state=\"done\"} 2\n"
                  "trainyard_jobs_total{state=\"failed\"} 1\n") != std::string::npos);
  CHECK(text.find("trainyard_nodes 3\n") != std::string::npos);
  CHECK(text.find("trainyard_step_seconds_bucket{le=\"0.03\"} 1\n") != std::string::npos);
  CHECK(text.find("trainyard_step_seconds_bucket{le=\"0.01\"} 0\n") != std::string::npos);
  CHECK(text.find("trainyard_step_seconds_count 1\n") != std::string::npos);
}

TEST_CASE("the same name and labels give the same metric", "[base]") {
  Registry registry;
  CHECK(&registry.counter("a", "x") == &registry.counter("a", "x"));
}
