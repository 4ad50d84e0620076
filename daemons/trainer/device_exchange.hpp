// One trainer without shards whose network keeps its values on a device and updates them there: the step's
// numbers go in, nothing comes out. What a checkpoint needs is fetched when it is written, in the same form
// as that of a trainer on processors. Belongs to the compute thread.
#pragma once

#include "common/graph/network.hpp"
#include "common/optim/device_rule.hpp"
#include "daemons/trainer/exchange.hpp"

namespace trainyard::trainer {

class DeviceExchange final : public LocalExchange {
 public:
  /// `rule` is that of `train` and `tensors`. The network outlives it.
  DeviceExchange(const config::TrainSection& train, std::vector<optim::TensorSize> tensors,
                 std::uint64_t steps_per_epoch, optim::DeviceRule rule, graph::Network& network)
      : LocalExchange(train, std::move(tensors), steps_per_epoch),
        rule_(std::move(rule)),
        network_(network) {}

  /// For the feed of the next step; valid until the next call.
  const tensor::UpdateStep& next(std::uint32_t samples);

  Result<std::uint64_t> begin(std::span<float> values) override;
  Result<Stepped> step(const Push& push, std::span<float> values) override;
  Status averages(std::span<float> values) override;
  std::optional<optim::Table::Saved> own_state() const override;

 private:
  const optim::DeviceRule rule_;
  graph::Network& network_;
  tensor::UpdateStep step_;
};

}  // namespace trainyard::trainer
