// How the learning rate changes from step to step. Pure functions of the job file and the step's number; the
// same answer on every trainer and shard.
#pragma once

#include <cstdint>

#include "common/config/job_spec.hpp"

namespace trainyard::optim {

/// The learning rate of step `step` (from 1) of `steps`. `base` is the job's learning rate; the rate grows
/// linearly from 0 over `warmup_steps` to what the schedule begins with. Then, with t in 0..1 the share done
/// of the steps after the warm-up:
///   step        base * factor^k; k the drops until the step's epoch (every step_epochs, or at milestones)
///   cosine      min + (base - min) (1 + cos(pi t)) / 2     Loshchilov, Hutter 2017, eq. 5
///   one_cycle   from base / start_divisor along a half cosine to base after the share `rise` of the steps,
///               and on to base / start_divisor / end_divisor at the last one; the momentum stays
///                                                        Smith, Topin 2018; PyTorch's OneCycleLR
///   polynomial  end + (base - end) (1 - t)^power           Chen and others 2017 (DeepLab), section 4.1
double learning_rate(const config::ScheduleSection& schedule, double base, std::uint64_t step,
                     std::uint64_t steps_per_epoch, std::uint64_t steps);

}  // namespace trainyard::optim
