// What a network on a device keeps to update its own values: the arrays of the rule, and the numbers of a
// step. Private to this layer; used by the thread of the network.
#pragma once

#include <array>
#include <memory>

#include "common/graph/padded.hpp"
#include "common/ops/device.hpp"
#include "common/ops/update.hpp"

namespace trainyard::graph {

class Updates {
 public:
  /// Errc::unavailable: the device has no memory left.
  static Result<std::unique_ptr<Updates>> make(const ops::Backend& backend, const tensor::UpdatePlan& plan,
                                               const Padded& padded);

  /// The numbers of the next step. Nothing that was enqueued may still read those of the one before.
  void set(const tensor::UpdateStep& step);
  /// Enqueues the step at addresses that stay the same, so that it can be recorded.
  Status enqueue(const float* gradients, float* values, const ops::Outcome* outcome);
  /// Once a step is done: were its gradients finite? Where they or the loss were not, nothing changed.
  bool finite() const;
  /// An array with gaps on the device, by its number; null where the plan has none.
  const ops::Block& array(std::size_t number) const { return arrays_[number]; }

 private:
  Updates(const ops::Backend& backend, const tensor::UpdatePlan& plan, std::int64_t length)
      : backend_(backend), device_(*backend.device()), plan_(plan), length_(length) {}

  const ops::Backend& backend_;
  ops::Device& device_;
  const tensor::UpdatePlan plan_;
  const std::int64_t length_;
  std::array<ops::Block, tensor::kUpdateArrays + 1> arrays_;
  ops::Block groups_, step_, norm_, scratch_;  // of the device
  ops::Block step_here_, norm_here_;           // pinned
};

}  // namespace trainyard::graph
