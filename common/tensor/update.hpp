// The numbers of one step of an update rule, between who makes them (optim) and who runs it: optim's own
// loops, or the kernel of a device that keeps the values. Plain; formulas are in optim/optimizer.hpp.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace trainyard::tensor {

/// Those that look at one value at a time.
enum class UpdateRule : std::uint8_t { sgd, momentum, nesterov, adam, adagrad, rmsprop, ftrl };

/// What of a step is the same for all values of a tensor; a rule reads what it needs.
struct UpdateNumbers {
  float scale = 1;  // times the gradient
  float rate = 0;   // step size; of adam and lamb with the correction of the first moment's bias
  float decay = 0;  // times the value, added to the gradient; of lamb to the direction
  float loss = 0;   // adamw: times the value, taken away; 1 - loss would round most of it off
  float momentum = 0;
  float keep[2] = {0, 0};  // decay of the first and of the second moment; rmsprop: rho is the second
  float add[2] = {1, 1};   // 1 - keep
  float epsilon = 0;
  float first_root = 1, second_root = 1;  // what the first moment and the second one's root are multiplied by
  float l1 = 0, l2 = 0, beta = 0, inverse_rate = 0;  // ftrl
};

inline constexpr std::size_t kUpdateArrays = 3;      // that a rule keeps, at most
inline constexpr std::size_t kUpdateAverage = 3;     // the number of the moving average behind them
inline constexpr std::size_t kUpdateGroupsMax = 16;  // of tensors that are updated alike
inline constexpr std::uint8_t kUpdateBuffer = 0;     // the group whose values become means
inline constexpr std::uint8_t kUpdateFrozen = 0xff;  // no group: the values stay

/// What stays the same from step to step.
struct UpdatePlan {
  UpdateRule rule = UpdateRule::sgd;
  std::array<bool, kUpdateArrays> arrays{};  // by their places: those that the rule keeps
  bool average = false;                      // a moving average of all values is kept
  std::optional<float> value_bound;          // of each value of the mean gradient
  std::optional<double> norm_bound;          // of the whole mean gradient
  std::vector<std::uint8_t> groups;          // of each tensor
};

/// One step; trivially copyable, so that it can be sent as it lies.
struct UpdateStep {
  double scale = 1;                                      // times this the gradient is the mean
  float average_add = 0;                                 // average += add (value - average); 1 copies
  std::array<UpdateNumbers, kUpdateGroupsMax> groups{};  // `scale` of each is 1
};

}  // namespace trainyard::tensor
