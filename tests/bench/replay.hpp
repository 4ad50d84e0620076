// Trainers and a shard in one process that take turns, so that the delay of every push is known and a run
// gives the same bits each time: a real network computes the gradients, a real ps::Core applies them. What is
// left out is sockets and chance. One thread; borrows the network.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/base/random.hpp"
#include "common/graph/network.hpp"
#include "daemons/ps/core.hpp"

namespace trainyard::bench {

/// Who pushes after whom. fixed: always 0, 1, 2, ..., so that from its second push on the delay of each is
/// trainers - 1. shuffled: in each round another order, of a seed; delays lie between 0 and 2 (trainers - 1),
/// and trainers - 1 is their mean.
enum class Turns : std::uint8_t { fixed, shuffled };

struct ReplaySettings {
  config::TrainSection train;
  config::StrategySection strategy;  // rules that do not step locally
  std::uint32_t trainers = 1;
  std::uint64_t pushes_per_epoch = 1;  // of all trainers
  Turns turns = Turns::fixed;
  std::uint64_t seed = 7;  // of the turns
};

class Replay {
 public:
  /// The first values are those that the network has. The network must outlive it.
  Replay(graph::Network& network, const ReplaySettings& settings);

  /// The trainer whose turn it is computes the gradient of a batch where it last read the values, and pushes
  /// it. Where trainers step together, the values change with the last push of a round.
  graph::StepResult push(std::span<const float> images, std::span<const std::int32_t> labels,
                         std::span<const std::uint64_t> keys);

  /// The shard's, in the layout of the network's.
  std::span<const float> values() const { return *core_.table()->values(); }
  const ps::Counts& counts() const { return core_.counts(); }

 private:
  void take(const ps::Outcome& outcome);
  std::uint32_t next_turn();

  graph::Network& network_;
  ReplaySettings settings_;
  ps::Core core_;
  std::vector<optim::Table::Values> read_;  // by rank: what it computes with
  std::vector<std::uint64_t> steps_;        // by rank: its pushes
  std::vector<std::uint32_t> round_;        // the ranks still to come, the next one last
  Random random_;
};

}  // namespace trainyard::bench
