// Rules by which a trainer steps by itself for a period and then meets the others over the shards
// (strategy.update local_sgd, easgd, downpour, adag). The optimizer runs here, and its state is this
// trainer's own: it is in no checkpoint. Belongs to the compute thread.
//   local_sgd  every period all values become the mean of the trainers'                  Stich 2019, alg. 1
//   easgd      a = elasticity / trainers: e = a (x - centre); x -= e; centre += e  Zhang and others 2015,
//   alg. 1 downpour   centre += x - x as it was read; x = centre                          Dean and others
//   2012, sec. 4.1 adag       centre += (x - x as it was read) / period; x = centre Hermans 2017
// Running statistics: local_sgd has their mean, the others the last trainer's.
#pragma once

#include <memory>
#include <vector>

#include "daemons/trainer/exchange.hpp"

namespace trainyard::trainer {

class LocalSteps final : public Exchange {
 public:
  struct Settings {
    config::TrainSection train;
    config::StrategySection strategy;
    std::uint32_t trainers = 1;
    std::vector<optim::TensorSize> tensors;
    std::uint64_t steps_per_epoch = 1;
    std::uint64_t steps = 1;        // of the whole training
    std::uint64_t resume_step = 0;  // of rank 0
  };
  /// What the shards hold of these tensors: sums of changes or means, which no rule of the job touches.
  static std::vector<optim::TensorSize> central(std::vector<optim::TensorSize> tensors,
                                                config::UpdateRule rule);

  /// `shards` was connected with central() tensors.
  LocalSteps(Settings settings, std::unique_ptr<ShardExchange> shards);

  Result<std::uint64_t> begin(std::span<float> values) override;
  Result<Stepped> step(const Push& push, std::span<float> values) override;
  bool exchanges(std::uint64_t step) const override;
  Status averages(std::span<float>) override { return {}; }  // refused with these rules
  Status leave(const Marks& marks, std::uint64_t checkpoint, std::span<float> values) override;

 private:
  Result<Stepped> meet(const Push& push, std::span<float> values);
  /// x - e, with the change as a gradient of rate 1.
  Status move_towards_centre(std::span<float> values);

  const Settings settings_;
  std::unique_ptr<ShardExchange> shards_;
  LocalExchange own_;
  std::uint64_t behind_ = 0;  // steps before the own table's first
  std::uint64_t rounds_ = 0;  // exchanges so far
  std::vector<float> read_;   // the values that the shards gave last
  std::vector<float> change_;
  std::vector<bool> is_buffer_;  // by float
};

}  // namespace trainyard::trainer
