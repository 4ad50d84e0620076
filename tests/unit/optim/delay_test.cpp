// The correction of delayed gradients (optim::Delay): beside a double-precision oracle, in each instruction
// set, before a rule and in the rule's own pass.
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "common/base/random.hpp"
#include "common/optim/kernels.hpp"
#include "common/optim/optimizer.hpp"

using namespace trainyard;
using namespace trainyard::optim;

namespace {

std::vector<float> normal(Random& random, std::size_t size, double deviation = 1) {
  std::vector<float> out(size);
  for (auto& value : out) value = static_cast<float>(deviation * random.normal());
  return out;
}

/// What a table does with one slice whose gradients come late.
struct Owner {
  config::OptimizerSection rule;
  std::vector<float> value, next, velocity, mean_square;
  bool adaptive = false;
  float strength = 0, keep = 0;

  Owner(const config::OptimizerSection& optimizer, std::vector<float> first, bool by_mean_square,
        float lambda, float decay)
      : rule(optimizer),
        value(std::move(first)),
        next(value.size()),
        velocity(value.size()),
        mean_square(value.size()),
        adaptive(by_mean_square),
        strength(lambda),
        keep(decay) {}

  void step(std::uint64_t number, const std::vector<std::span<const float>>& parts,
            const std::vector<float>& seen, std::optional<float> bound = std::nullopt) {
    Gradient gradient{parts, 0.25F, bound, std::nullopt};
    gradient.delay = Delay{seen, adaptive ? mean_square.data() : nullptr, strength, keep};
    update(rule, 0.1, number, {.decay = 0.01}, {value, next, {velocity.data()}}, gradient);
    value.swap(next);
  }
};

std::vector<config::OptimizerSection> rules() {
  config::OptimizerSection plain, moving, ahead;
  moving.momentum = ahead.momentum = 0.9;
  ahead.nesterov = true;
  return {plain, moving, ahead, config::optimizer_defaults(config::OptimizerKind::adagrad)};
}

}  // namespace

TEST_CASE("late gradients are corrected as the paper has it, in double precision", "[optim]") {
  const std::size_t size = 3001;
  for (const bool adaptive : {false, true}) {
    for (const double momentum : {0.0, 0.9}) {
      CAPTURE(adaptive, momentum);
      Random random(1);
      config::OptimizerSection rule;
      rule.momentum = momentum;
      Owner owner(rule, normal(random, size), adaptive, adaptive ? 2.0F : 0.5F, 0.75F);
      std::vector<double> w(owner.value.begin(), owner.value.end()), v(size), s(size);
      for (std::uint64_t step = 1; step <= 20; ++step) {
        const auto gradient = normal(random, size);
        std::vector<float> seen = owner.value;
        for (float& one : seen) one += static_cast<float>(0.3 * random.normal());
        owner.step(step, {gradient}, seen);
        for (std::size_t i = 0; i < size; ++i) {
          const double g = 0.25 * static_cast<double>(gradient[i]);
          s[i] = 0.75 * s[i] + 0.25 * g * g;
          const double lambda = adaptive ? 2.0 / std::sqrt(s[i] + 1e-7) : 0.5;
          const double corrected = g + lambda * g * g * (w[i] - static_cast<double>(seen[i]));
          v[i] = momentum * v[i] + corrected + 0.01 * w[i];
          w[i] -= 0.1 * v[i];
        }
      }
      double worst = 0;
      for (std::size_t i = 0; i < size; ++i)
        worst = std::max(worst, std::abs(w[i] - static_cast<double>(owner.value[i])));
      CHECK(worst < 1e-5);
    }
  }
}

TEST_CASE("the mean square of equal gradients is g g (1 - keep^n)", "[optim]") {
  Owner owner({}, std::vector<float>(100, 1.0F), true, 0.0F, 0.95F);
  const std::vector<float> gradient(100, 2.0F);  // times 0.25
  for (std::uint64_t step = 1; step <= 30; ++step) owner.step(step, {gradient}, owner.value);
  CHECK(static_cast<double>(owner.mean_square[99]) == Approx(0.25 * (1 - std::pow(0.95, 30))));
}

TEST_CASE("a rule corrects delay in its own pass, and gives the bits of a correction before it", "[optim]") {
  constexpr float no_bound = 3e38F;  // clamps nothing, and is done before the rule
  for (const std::size_t size : {1, 63, 2048, 5003}) {
    for (const auto& rule : rules()) {
      for (const bool adaptive : {false, true}) {
        CAPTURE(size, adaptive, rule.momentum, rule.nesterov);
        Random random(2);
        Owner own(rule, normal(random, size), adaptive, 1.5F, 0.9F);
        Owner before = own, of_two = own;
        for (std::uint64_t step = 1; step <= 4; ++step) {
          const auto gradient = normal(random, size);
          const auto seen = normal(random, size);
          std::vector<float> half = gradient;
          for (float& one : half) one *= 0.5F;  // exact
          own.step(step, {gradient}, seen);
          before.step(step, {gradient}, seen, no_bound);
          of_two.step(step, {half, half}, seen);
        }
        CHECK(own.value == before.value);
        CHECK(own.value == of_two.value);
        CHECK(own.velocity == before.velocity);
        CHECK(own.mean_square == before.mean_square);
      }
    }
  }
}

TEST_CASE("all instruction sets correct delay with the same bits", "[optim]") {
  const std::size_t size = 1999;
  const kernels::Kernels& base = *kernels::at(0);
  for (std::size_t index = 1; index < kernels::sets; ++index) {
    const kernels::Kernels* const set = kernels::at(index);
    if (set == nullptr) continue;  // not of this processor
    for (const bool adaptive : {false, true}) {
      CAPTURE(set->name, adaptive);
      const auto inputs = [&] {
        Random random(3);
        std::vector<std::vector<float>> data;
        for (int i = 0; i < 6; ++i) data.push_back(normal(random, size));
        for (float& one : data[4]) one *= one;  // a mean square
        return data;
      };
      const auto lag_of = [&](std::vector<std::vector<float>>& data) {
        return kernels::Lag{data[3].data(), adaptive ? data[4].data() : nullptr, 0.7F, 0.95F};
      };
      const auto compensated = [&](const kernels::Kernels& own) {
        auto data = inputs();
        own.compensate(data[0].data(), data[1].data(), size, lag_of(data));
        return data;
      };
      CHECK(compensated(base) == compensated(*set));
      const auto stepped = [&](const kernels::Kernels& own, auto rule) {
        auto data = inputs();
        kernels::Block block{data[0].data(),   nullptr, data[1].data(), data[2].data(),
                             {data[5].data()}, size,    lag_of(data)};
        (own.*rule)(block, {.scale = 0.7F, .rate = 0.01F, .decay = 0.1F, .momentum = 0.9F});
        return data;
      };
      using K = kernels::Kernels;
      for (const auto rule : {&K::sgd, &K::momentum, &K::nesterov})
        CHECK(stepped(base, rule) == stepped(*set, rule));
      // What is compared was changed.
      CHECK(compensated(*set)[0] != inputs()[0]);
      CHECK((stepped(*set, &K::sgd)[4] != inputs()[4]) == adaptive);
    }
  }
}
