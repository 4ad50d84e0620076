#include "common/optim/optimizer.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "common/base/check.hpp"

namespace trainyard::optim {
namespace {

using Contributions = std::span<const std::span<const float>>;

constexpr std::size_t kBlock =
    2048;  // floats: sum, values and velocity of a block stay in the first-level cache

void check_sizes(std::size_t size, Contributions contributions) {
  for (const auto& part : contributions)
    check(part.size() == size, "a contribution has the size of the values");
}

/// sum[0..length) = (contribution 0 + contribution 1 + ...) * scale at `begin`.
void sum_block(Contributions contributions, std::size_t begin, std::size_t length, float scale, float* sum) {
  std::fill_n(sum, length, 0.0f);
  for (const auto& part : contributions) {
    const float* const source = part.data() + begin;
    for (std::size_t i = 0; i < length; ++i) sum[i] += source[i];
  }
  for (std::size_t i = 0; i < length; ++i) sum[i] *= scale;
}

void momentum_block(const float* __restrict gradient, float* __restrict value, float* __restrict velocity,
                    std::size_t length, float rate, float momentum, float decay, bool nesterov) {
  for (std::size_t i = 0; i < length; ++i) {
    const float g = gradient[i] + decay * value[i];
    const float v = momentum * velocity[i] + g;
    velocity[i] = v;
    value[i] -= rate * (nesterov ? g + momentum * v : v);
  }
}

void plain_block(const float* __restrict gradient, float* __restrict value, std::size_t length, float rate,
                 float decay) {
  for (std::size_t i = 0; i < length; ++i) value[i] -= rate * (gradient[i] + decay * value[i]);
}

}  // namespace

double learning_rate(const config::ScheduleSection& schedule, double base, std::uint64_t step,
                     std::uint64_t steps_per_epoch, std::uint64_t steps) {
  const std::uint64_t warmup = schedule.warmup_steps;
  if (step < warmup) return base * static_cast<double>(step) / static_cast<double>(warmup);
  switch (schedule.kind) {
    case config::ScheduleKind::constant:
      return base;
    case config::ScheduleKind::step: {
      const std::uint64_t epoch = steps_per_epoch == 0 || step == 0 ? 0 : (step - 1) / steps_per_epoch;
      const std::uint64_t drops = schedule.step_epochs == 0 ? 0 : epoch / schedule.step_epochs;
      return base * std::pow(schedule.factor, static_cast<double>(drops));
    }
    case config::ScheduleKind::cosine: {
      if (steps <= warmup) return base;
      const double done = static_cast<double>(step - warmup) / static_cast<double>(steps - warmup);
      return base * (1.0 + std::cos(std::numbers::pi * std::min(done, 1.0))) / 2.0;
    }
  }
  return base;
}

void sgd(const config::OptimizerSection& optimizer, double rate, bool decay, std::span<float> values,
         std::span<float> velocity, Contributions gradients, float scale) {
  check_sizes(values.size(), gradients);
  const bool with_momentum = optimizer.momentum != 0.0;
  check(!with_momentum || velocity.size() == values.size(), "momentum needs a velocity for each value");
  const float eta = static_cast<float>(rate);
  const float mu = static_cast<float>(optimizer.momentum);
  const float lambda = decay ? static_cast<float>(optimizer.weight_decay) : 0.0f;
  alignas(64) std::array<float, kBlock> sum;
  for (std::size_t begin = 0; begin < values.size(); begin += kBlock) {
    const std::size_t length = std::min(kBlock, values.size() - begin);
    sum_block(gradients, begin, length, scale, sum.data());
    float* const value = values.data() + begin;
    if (with_momentum) {
      momentum_block(sum.data(), value, velocity.data() + begin, length, eta, mu, lambda, optimizer.nesterov);
    } else {
      plain_block(sum.data(), value, length, eta, lambda);
    }
  }
}

void mean(std::span<float> values, Contributions contributions, float scale) {
  check_sizes(values.size(), contributions);
  for (std::size_t begin = 0; begin < values.size(); begin += kBlock) {
    const std::size_t length = std::min(kBlock, values.size() - begin);
    sum_block(contributions, begin, length, scale, values.data() + begin);
  }
}

}  // namespace trainyard::optim
