#include "common/optim/device_rule.hpp"

#include <algorithm>

#include "common/base/check.hpp"
#include "common/base/text.hpp"
#include "common/optim/rule.hpp"

namespace trainyard::optim {

namespace {

static_assert(tensor::kUpdateArrays == rule_arrays_max);

/// None: the norms of whole tensors are needed.
std::optional<tensor::UpdateRule> rule_of(const config::OptimizerSection& optimizer) {
  using config::OptimizerKind;
  using tensor::UpdateRule;
  switch (optimizer.kind) {
    case OptimizerKind::sgd:
      if (optimizer.momentum == 0) return UpdateRule::sgd;
      return optimizer.nesterov ? UpdateRule::nesterov : UpdateRule::momentum;
    case OptimizerKind::adam:
    case OptimizerKind::adamw:
      return UpdateRule::adam;
    case OptimizerKind::adagrad:
      return UpdateRule::adagrad;
    case OptimizerKind::rmsprop:
      return UpdateRule::rmsprop;
    case OptimizerKind::ftrl:
      return UpdateRule::ftrl;
    case OptimizerKind::lars:
    case OptimizerKind::lamb:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

Result<DeviceRule> DeviceRule::make(const config::TrainSection& train, std::span<const TensorSize> tensors) {
  const auto rule = rule_of(train.optimizer);
  if (!rule) return Error{Errc::refused, "the optimizer looks at norms of whole tensors"};
  DeviceRule made(train);
  made.plan_.rule = *rule;
  for (const RuleArray& array : rule_arrays(train.optimizer)) made.plan_.arrays[array.place] = true;
  made.plan_.average = train.ema.has_value();
  if (train.clip.value) made.plan_.value_bound = static_cast<float>(*train.clip.value);
  made.plan_.norm_bound = train.clip.norm;
  made.groups_.emplace_back();
  for (const TensorSize& tensor : tensors) {
    const Group group{tensor.rate, tensor.decay};
    std::size_t number = tensor::kUpdateBuffer;
    if (tensor.frozen) {
      number = tensor::kUpdateFrozen;
    } else if (static_cast<ValueKind>(tensor.kind) != ValueKind::buffer) {
      const auto found = std::find(made.groups_.begin() + 1, made.groups_.end(), group);
      number = static_cast<std::size_t>(found - made.groups_.begin());
      if (found == made.groups_.end()) made.groups_.push_back(group);
    }
    made.plan_.groups.push_back(static_cast<std::uint8_t>(number));
  }
  if (made.groups_.size() > tensor::kUpdateGroupsMax)
    return Error{Errc::refused, format("tensors have {} different settings, {} are the most",
                                       made.groups_.size() - 1, tensor::kUpdateGroupsMax - 1)};
  return made;
}

tensor::UpdateStep DeviceRule::step(double rate, std::uint64_t update, std::uint32_t samples) const {
  check(samples > 0 && update > 0, "an update is of samples");
  tensor::UpdateStep step{.scale = 1.0 / samples};
  if (train_.ema) step.average_add = update == 1 ? 1.0F : static_cast<float>(1.0 - train_.ema->decay);
  for (std::size_t i = 1; i < groups_.size(); ++i)
    step.groups[i] = numbers_of(train_.optimizer, rate * groups_[i].rate, update,
                                {ValueKind::weight, groups_[i].rate, groups_[i].decay});
  return step;
}

}  // namespace trainyard::optim
