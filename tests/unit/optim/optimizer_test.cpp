#include "common/optim/optimizer.hpp"

#include <catch2/catch.hpp>
#include <vector>

#include "common/base/random.hpp"

using namespace trainyard;
using namespace trainyard::optim;

namespace {

std::vector<float> normal(Random& random, std::size_t size) {
  std::vector<float> out(size);
  for (auto& value : out) value = static_cast<float>(random.normal());
  return out;
}

/// The rule in double precision, one float after the other, as the formula is written.
struct Oracle {
  std::vector<double> value, velocity;
  void step(const config::OptimizerSection& rule, double rate, bool decay,
            const std::vector<std::vector<float>>& gradients, double scale) {
    for (std::size_t i = 0; i < value.size(); ++i) {
      double g = 0;
      for (const auto& gradient : gradients) g += gradient[i];
      g = g * scale + (decay ? rule.weight_decay * value[i] : 0);
      velocity[i] = rule.momentum * velocity[i] + g;
      value[i] -= rate * (rule.nesterov ? g + rule.momentum * velocity[i] : velocity[i]);
    }
  }
};

}  // namespace

TEST_CASE("a hundred steps of each rule follow the double-precision oracle", "[optim]") {
  const std::size_t size = 5003;  // more than two blocks and no multiple of a vector
  for (const double momentum : {0.0, 0.9}) {
    for (const bool nesterov : {false, true}) {
      for (const bool decay : {false, true}) {
        if (nesterov && momentum == 0.0) continue;
        config::OptimizerSection rule{.momentum = momentum, .nesterov = nesterov, .weight_decay = 1e-2};
        Random random{3};
        auto values = normal(random, size);
        std::vector<float> velocity(momentum == 0.0 ? 0 : size, 0.0f);
        Oracle oracle{{values.begin(), values.end()}, std::vector<double>(size, 0.0)};
        for (int step = 0; step < 100; ++step) {
          const std::vector<std::vector<float>> gradients{normal(random, size), normal(random, size)};
          const std::vector<std::span<const float>> spans{gradients[0], gradients[1]};
          sgd(rule, 0.01, decay, values, velocity, spans, 1.0f / 64);
          oracle.step(rule, 0.01, decay, gradients, 1.0 / 64);
        }
        double worst = 0;
        for (std::size_t i = 0; i < size; ++i) worst = std::max(worst, std::abs(values[i] - oracle.value[i]));
        CHECK(worst < 1e-5);
      }
    }
  }
}

TEST_CASE("the mean of running statistics is the sum times the scale", "[optim]") {
  std::vector<float> values(3, 99.0f);
  const std::vector<float> a{2, 4, 6}, b{4, 4, 0};
  const std::vector<std::span<const float>> parts{a, b};
  mean(values, parts, 0.5f);
  CHECK(values == std::vector<float>{3, 4, 3});
}

TEST_CASE("the rate warms up linearly and then follows its schedule", "[optim]") {
  config::ScheduleSection schedule{.warmup_steps = 10};
  CHECK(learning_rate(schedule, 0.2, 1, 100, 1000) == Approx(0.02));
  CHECK(learning_rate(schedule, 0.2, 10, 100, 1000) == Approx(0.2));
  CHECK(learning_rate(schedule, 0.2, 999, 100, 1000) == Approx(0.2));
  schedule.kind = config::ScheduleKind::cosine;
  CHECK(learning_rate(schedule, 0.2, 10, 100, 1000) == Approx(0.2));
  CHECK(learning_rate(schedule, 0.2, 505, 100, 1000) == Approx(0.1));
  CHECK(learning_rate(schedule, 0.2, 1000, 100, 1000) == Approx(0.0).margin(1e-12));
  CHECK(learning_rate(schedule, 0.2, 2000, 100, 1000) == Approx(0.0).margin(1e-12));
}

TEST_CASE("a step schedule drops at the start of an epoch", "[optim]") {
  const config::ScheduleSection schedule{.kind = config::ScheduleKind::step, .step_epochs = 2, .factor = 0.1};
  CHECK(learning_rate(schedule, 1.0, 1, 5, 50) == Approx(1.0));
  CHECK(learning_rate(schedule, 1.0, 10, 5, 50) == Approx(1.0));
  CHECK(learning_rate(schedule, 1.0, 11, 5, 50) == Approx(0.1));
  CHECK(learning_rate(schedule, 1.0, 21, 5, 50) == Approx(0.01));
}
