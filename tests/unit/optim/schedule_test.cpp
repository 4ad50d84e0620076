#include "common/optim/schedule.hpp"

#include <catch2/catch.hpp>

using namespace trainyard;
using namespace trainyard::optim;
using config::ScheduleKind;
using config::ScheduleSection;

TEST_CASE("the rate warms up linearly and then follows its schedule", "[optim]") {
  ScheduleSection schedule{.warmup_steps = 10};
  CHECK(learning_rate(schedule, 0.2, 1, 100, 1000) == Approx(0.02));
  CHECK(learning_rate(schedule, 0.2, 10, 100, 1000) == Approx(0.2));
  CHECK(learning_rate(schedule, 0.2, 999, 100, 1000) == Approx(0.2));
  schedule.kind = ScheduleKind::cosine;
  CHECK(learning_rate(schedule, 0.2, 10, 100, 1000) == Approx(0.2));
  CHECK(learning_rate(schedule, 0.2, 505, 100, 1000) == Approx(0.1));
  CHECK(learning_rate(schedule, 0.2, 1000, 100, 1000) == Approx(0.0).margin(1e-12));
  CHECK(learning_rate(schedule, 0.2, 2000, 100, 1000) == Approx(0.0).margin(1e-12));
}

TEST_CASE("a cosine ends at the least rate", "[optim]") {
  // CosineAnnealingLR(T_max=10, eta_min=0.02) of PyTorch on a base of 0.1, after 1, 5, 7 and 10 of its steps.
  const ScheduleSection schedule{.kind = ScheduleKind::cosine, .min_rate = 0.02};
  CHECK(learning_rate(schedule, 0.1, 1, 10, 10) == Approx(0.09804226));
  CHECK(learning_rate(schedule, 0.1, 5, 10, 10) == Approx(0.06));
  CHECK(learning_rate(schedule, 0.1, 7, 10, 10) == Approx(0.03648859));
  CHECK(learning_rate(schedule, 0.1, 10, 10, 10) == Approx(0.02));
}

TEST_CASE("a step schedule drops at the start of an epoch", "[optim]") {
  const ScheduleSection schedule{.kind = ScheduleKind::step, .step_epochs = 2, .factor = 0.1};
  CHECK(learning_rate(schedule, 1.0, 1, 5, 50) == Approx(1.0));
  CHECK(learning_rate(schedule, 1.0, 10, 5, 50) == Approx(1.0));
  CHECK(learning_rate(schedule, 1.0, 11, 5, 50) == Approx(0.1));
  CHECK(learning_rate(schedule, 1.0, 21, 5, 50) == Approx(0.01));
}

TEST_CASE("milestones drop the rate after so many epochs, whatever step_epochs says", "[optim]") {
  const ScheduleSection schedule{
      .kind = ScheduleKind::step, .step_epochs = 1, .milestones = {2, 3, 7}, .factor = 0.5};
  CHECK(learning_rate(schedule, 1.0, 10, 5, 50) == 1.0);
  CHECK(learning_rate(schedule, 1.0, 11, 5, 50) == 0.5);   // the third epoch
  CHECK(learning_rate(schedule, 1.0, 16, 5, 50) == 0.25);  // the fourth
  CHECK(learning_rate(schedule, 1.0, 35, 5, 50) == 0.25);
  CHECK(learning_rate(schedule, 1.0, 36, 5, 50) == 0.125);  // the eighth
  CHECK(learning_rate(schedule, 1.0, 50, 5, 50) == 0.125);
}

TEST_CASE("one cycle rises to the learning rate and falls far below where it began", "[optim]") {
  // OneCycleLR(max_lr=1, total_steps=10, pct_start=0.3) of PyTorch: steps 0..9.
  const ScheduleSection schedule{.kind = ScheduleKind::one_cycle};
  const double expected[] = {0.04,       0.52,       1.0,        0.95048464, 0.81174522,
                             0.61126202, 0.38874198, 0.18825835, 0.04951937, 0.000004};
  for (std::uint64_t step = 1; step <= 10; ++step)
    CHECK(learning_rate(schedule, 1.0, step, 10, 10) == Approx(expected[step - 1]).epsilon(1e-6));
}

TEST_CASE("one cycle warms up to where it begins", "[optim]") {
  const ScheduleSection schedule{.kind = ScheduleKind::one_cycle, .warmup_steps = 4};
  CHECK(learning_rate(schedule, 1.0, 1, 14, 14) == Approx(0.01));
  CHECK(learning_rate(schedule, 1.0, 4, 14, 14) == Approx(0.04));
  CHECK(learning_rate(schedule, 1.0, 5, 14, 14) == Approx(0.04));  // the first of the ten above
  CHECK(learning_rate(schedule, 1.0, 7, 14, 14) == Approx(1.0));
  CHECK(learning_rate(schedule, 1.0, 14, 14, 14) == Approx(4e-6));
}

TEST_CASE("a polynomial falls to the end rate", "[optim]") {
  ScheduleSection schedule{.kind = ScheduleKind::polynomial, .end_rate = 0.1};
  CHECK(learning_rate(schedule, 1.1, 0, 10, 10) == Approx(1.1));
  CHECK(learning_rate(schedule, 1.1, 5, 10, 10) == Approx(0.6));
  CHECK(learning_rate(schedule, 1.1, 10, 10, 10) == Approx(0.1));
  CHECK(learning_rate(schedule, 1.1, 12, 10, 10) == Approx(0.1));
  schedule.power = 2;
  CHECK(learning_rate(schedule, 1.1, 5, 10, 10) == Approx(0.35));
  schedule.warmup_steps = 2;
  CHECK(learning_rate(schedule, 1.1, 1, 10, 10) == Approx(0.55));
  CHECK(learning_rate(schedule, 1.1, 2, 10, 10) == Approx(1.1));
  CHECK(learning_rate(schedule, 1.1, 6, 10, 10) == Approx(0.35));
}

TEST_CASE("a training that ends within its warm-up never leaves it", "[optim]") {
  for (const ScheduleKind kind : {ScheduleKind::constant, ScheduleKind::step, ScheduleKind::cosine,
                                  ScheduleKind::one_cycle, ScheduleKind::polynomial}) {
    const ScheduleSection schedule{.kind = kind, .warmup_steps = 10};
    const double first = kind == ScheduleKind::one_cycle ? 1.0 / 25 : 1.0;
    CHECK(learning_rate(schedule, 1.0, 5, 5, 5) == Approx(0.5 * first));
    CHECK(learning_rate(schedule, 1.0, 10, 5, 10) == Approx(first));
  }
}
