#include "daemons/trainer/plan.hpp"

#include <catch2/catch.hpp>
#include <set>

using namespace trainyard;
using trainer::Plan;

TEST_CASE("steps count from 1, epochs and places in them from 0", "[trainer]") {
  // 100 records, 2 trainers of 16: three whole steps and one of the four records that are left.
  const Plan plan({.records = 100, .trainers = 2, .batch = 16}, 3, 1);
  REQUIRE(plan.geometry().steps_per_epoch() == 4);
  CHECK(plan.steps() == 12);
  CHECK(plan.epoch_of(1) == 0);
  CHECK(plan.place_of(1) == 0);
  CHECK(plan.epoch_of(4) == 0);
  CHECK(plan.place_of(4) == 3);
  CHECK(plan.epoch_of(5) == 1);
  CHECK(plan.place_of(5) == 0);
  CHECK(plan.epoch_of(12) == 2);
  for (std::uint64_t step = 1; step <= plan.steps(); ++step) CHECK(plan.ends_epoch(step) == (step % 4 == 0));
}

TEST_CASE("the steps of an epoch use each record once, the last step what is left", "[trainer]") {
  for (const std::uint64_t records : {1u, 7u, 31u, 32u, 33u, 64u, 1000u}) {
    for (const std::uint32_t trainers : {1u, 2u, 5u}) {
      const Plan plan({.records = records, .trainers = trainers, .batch = 16}, 2, 0);
      for (std::uint64_t epoch = 0; epoch < 2; ++epoch) {
        std::uint64_t sum = 0;
        const std::uint64_t first = epoch * plan.geometry().steps_per_epoch() + 1;
        for (std::uint64_t step = first; step < first + plan.geometry().steps_per_epoch(); ++step) {
          CHECK(plan.samples_of(step) > 0);
          CHECK(plan.samples_of(step) <= std::uint64_t{trainers} * 16);
          sum += plan.samples_of(step);
        }
        INFO(records << " records, " << trainers << " trainers, epoch " << epoch);
        CHECK(sum == records);
      }
    }
  }
}

TEST_CASE("partitions cover every step once, in order, and none reaches over the end of its epoch",
          "[trainer]") {
  for (const std::uint64_t records : {1u, 50u, 333u, 1000u}) {
    const Plan plan({.records = records, .trainers = 2, .batch = 5}, 3, 1);
    std::set<protocol::Partition> seen;
    std::uint64_t next = 1;
    while (next <= plan.steps()) {
      const trainer::Run run = plan.run_of(next);
      INFO(records << " records, step " << next);
      CHECK(run.first == next);
      REQUIRE(run.last >= run.first);
      CHECK(run.partition.rank == 1);
      CHECK(run.partition.epoch == plan.epoch_of(run.first));
      CHECK(run.partition.epoch == plan.epoch_of(run.last));
      CHECK(run.partition.index < plan.geometry().partitions_per_epoch());
      CHECK(seen.insert(run.partition).second);
      for (std::uint64_t step = run.first; step <= run.last; ++step) {
        CHECK(plan.run_of(step).partition == run.partition);
        CHECK(plan.run_of(step).first == run.first);
        CHECK(plan.run_of(step).last == run.last);
      }
      next = run.last + 1;
    }
    CHECK(next == plan.steps() + 1);
    CHECK(seen.size() == 3 * plan.geometry().partitions_per_epoch());
  }
}
