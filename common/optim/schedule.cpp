#include "common/optim/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace trainyard::optim {
namespace {

/// Half a cosine from `begin` at 0 to `end` at 1.
double half_cosine(double begin, double end, double t) {
  return end + (begin - end) * (1.0 + std::cos(std::numbers::pi * std::clamp(t, 0.0, 1.0))) / 2.0;
}

std::uint64_t drops(const config::ScheduleSection& schedule, std::uint64_t epoch) {
  if (schedule.milestones.empty()) return schedule.step_epochs == 0 ? 0 : epoch / schedule.step_epochs;
  return static_cast<std::uint64_t>(
      std::count_if(schedule.milestones.begin(), schedule.milestones.end(),
                    [&](std::uint64_t milestone) { return milestone <= epoch; }));
}

/// `step` from 1, of the `steps` of the cycle. The peak lies at the place that PyTorch gives it:
/// rise * steps - 1, counted from 0.
double one_cycle(const config::ScheduleSection& schedule, double base, std::uint64_t step,
                 std::uint64_t steps) {
  const double first = base / schedule.start_divisor;
  const double last = first / schedule.end_divisor;
  const double at = static_cast<double>(step) - 1.0;
  const double peak = schedule.rise * static_cast<double>(steps) - 1.0;
  const double end = static_cast<double>(steps) - 1.0;
  if (at <= peak) return peak <= 0.0 ? base : half_cosine(first, base, at / peak);
  return half_cosine(base, last, (at - peak) / (end - peak));
}

}  // namespace

double learning_rate(const config::ScheduleSection& schedule, double base, std::uint64_t step,
                     std::uint64_t steps_per_epoch, std::uint64_t steps) {
  using Kind = config::ScheduleKind;
  const std::uint64_t warmup = schedule.warmup_steps;
  const double begin = schedule.kind == Kind::one_cycle ? base / schedule.start_divisor : base;
  if (step < warmup) return begin * static_cast<double>(step) / static_cast<double>(warmup);
  if (step == warmup && schedule.kind == Kind::one_cycle) return begin;
  const std::uint64_t left = steps > warmup ? steps - warmup : 0;
  const double done =
      left == 0 ? 0.0 : std::min(static_cast<double>(step - warmup) / static_cast<double>(left), 1.0);
  switch (schedule.kind) {
    case Kind::constant:
      return base;
    case Kind::step: {
      const std::uint64_t epoch = steps_per_epoch == 0 || step == 0 ? 0 : (step - 1) / steps_per_epoch;
      return base * std::pow(schedule.factor, static_cast<double>(drops(schedule, epoch)));
    }
    case Kind::cosine:
      return half_cosine(base, schedule.min_rate, done);
    case Kind::one_cycle:
      return one_cycle(schedule, base, step - warmup, left);
    case Kind::polynomial:
      return schedule.end_rate + (base - schedule.end_rate) * std::pow(1.0 - done, schedule.power);
  }
  return base;
}

}  // namespace trainyard::optim
