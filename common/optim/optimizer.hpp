// Update rules and schedules; the same code on a trainer and on a parameter-server shard. One pass over the
// values: sum, mean, decay, momentum, step. Deterministic: the order of the sum is the order of `gradients`.
#pragma once

#include <cstdint>
#include <span>

#include "common/config/job_spec.hpp"

namespace trainyard::optim {

/// The learning rate of step `step` (from 1) of `steps`; linear warm-up from 0, then the schedule.
///   cosine: base * (1 + cos(pi t)) / 2, t the share done after the warm-up (Loshchilov, Hutter 2017, eq. 5)
double learning_rate(const config::ScheduleSection& schedule, double base, std::uint64_t step,
                     std::uint64_t steps_per_epoch, std::uint64_t steps);

/// Momentum SGD in PyTorch's convention: v = mu v + (g + decay w); w -= rate (v, or g + mu v with Nesterov).
///   values [n], velocity [n]   updated in place; velocity may be empty when momentum is 0
///   gradients                  one array [n] per contributor, summed in this order, then times `scale` (1 /
///   samples)
/// Source: Sutskever, Martens, Dahl, Hinton, 2013; rate outside v.
void sgd(const config::OptimizerSection& optimizer, double rate, bool decay, std::span<float> values,
         std::span<float> velocity, std::span<const std::span<const float>> gradients, float scale);

/// values = (sum of contributions, in order) * scale; for running statistics.
void mean(std::span<float> values, std::span<const std::span<const float>> contributions, float scale);

}  // namespace trainyard::optim
