// A job's update rule for values that a device keeps and updates: which tensors are updated alike, and the
// numbers of each step. The kernel is the device's. Pure.
#pragma once

#include <span>
#include <vector>

#include "common/base/result.hpp"
#include "common/config/job_spec.hpp"
#include "common/optim/slices.hpp"
#include "common/tensor/update.hpp"

namespace trainyard::optim {

class DeviceRule {
 public:
  /// Errc::refused with the reason: the rule looks at whole tensors (lars, lamb), or there are more kinds of
  /// settings than kUpdateGroupsMax.
  static Result<DeviceRule> make(const config::TrainSection& train, std::span<const TensorSize> tensors);

  const tensor::UpdatePlan& plan() const { return plan_; }
  /// Update number `update` (from 1) with the step's `rate`, of a gradient that is the sum of `samples` > 0.
  tensor::UpdateStep step(double rate, std::uint64_t update, std::uint32_t samples) const;

 private:
  explicit DeviceRule(const config::TrainSection& train) : train_(train) {}
  struct Group {
    double rate = 1, decay = 0;
    friend bool operator==(const Group&, const Group&) = default;
  };
  config::TrainSection train_;
  tensor::UpdatePlan plan_;
  std::vector<Group> groups_;  // by number; the one of buffers is not looked at
};

}  // namespace trainyard::optim
