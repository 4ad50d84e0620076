#include "daemons/master/pace.hpp"

#include <catch2/catch.hpp>

namespace trainyard::master {

namespace {

TaskId trainer(std::uint32_t index) { return {JobId{1}, Role::trainer, index}; }

Told told(double input, double compute, double exchange) {
  return {10, {{"pace/input", input}, {"pace/compute", compute}, {"pace/exchange", exchange}}};
}

}  // namespace

TEST_CASE("nothing is said of a job whose trainers have told of no step", "[master]") {
  Job job;
  CHECK_FALSE(pace_of(job));
  CHECK(pace_json(job).is_null());
  job.told[trainer(0)] = {0, {{"train/loss", 1.0}}};
  CHECK_FALSE(pace_of(job));
  job.told[{JobId{1}, Role::ps, 0}] = {3, {{"pushes", 3.0}}};
  CHECK_FALSE(pace_of(job));
}

TEST_CASE("steps are bound by what trainers do for the longest time", "[master]") {
  Job job;
  job.told[trainer(0)] = told(0.001, 0.008, 0.001);
  CHECK(pace_of(job)->text == "10 ms a step, bound by compute (compute 80 %, input 10 %, exchange 10 %)");
  job.told[trainer(1)] = told(0.002, 0.007, 0.021);
  const auto pace = pace_of(job);
  REQUIRE(pace);
  CHECK_FALSE(pace->straggler);
  CHECK(pace->bound_by == "exchange");
  CHECK(pace->step_seconds == Approx(0.02));
  job.told[trainer(0)] = told(0.012, 0.004, 0.001);
  job.told[trainer(1)] = told(0.012, 0.004, 0.001);
  CHECK(pace_of(job)->bound_by == "input");
}

TEST_CASE("who waits for a straggler is not bound by the exchange", "[master]") {
  Job job;
  job.told[trainer(0)] = told(0.001, 0.004, 0.025);
  job.told[trainer(1)] = told(0.001, 0.028, 0.001);
  job.told[trainer(2)] = told(0.001, 0.005, 0.024);
  const auto pace = pace_of(job);
  REQUIRE(pace);
  CHECK(pace->straggler == trainer(1));
  CHECK(pace->text ==
        "30 ms a step, bound by compute (compute 93 %, input 3 %, exchange 3 %); trainer-1 is the straggler: "
        "29 ms of its own, the others 6 ms");
  const Json json = pace_json(job);
  CHECK(json["straggler"] == "trainer-1");
  CHECK(json["tasks"]["trainer-1"]["pace/compute"] == 0.028);
  job.told[{JobId{1}, Role::ps, 0}] = {9, {{"staleness/mean", 1.25}, {"staleness/max", 7.0}}};
  State state;
  job.state = JobState::running;
  job.told[{JobId{1}, Role::ps, 0}].metrics["staleness/03"] = 4;
  state.jobs.emplace(JobId{1}, job);
  const std::string metrics = pace_metrics(state);
  CHECK_THAT(metrics,
             Catch::Contains("trainyard_trainer_step_compute_seconds{job=\"1\",task=\"trainer-1\"} 0.028\n"));
  CHECK_THAT(metrics,
             Catch::Contains("trainyard_shard_staleness_pushes{job=\"1\",task=\"ps-0\",steps=\"3\"} 4\n"));
  CHECK_THAT(pace_of(job)->text, Catch::EndsWith("; staleness 1.2 steps on average, 7 at most"));
}

}  // namespace trainyard::master
