// Where each step of a training lies: its epoch, its place in it, and the partition that covers it. Pure.
#pragma once

#include <cstdint>

#include "common/data/split.hpp"
#include "common/protocol/messages.hpp"

namespace trainyard::trainer {

/// A partition as a run of steps, both ends included.
struct Run {
  protocol::Partition partition;
  std::uint64_t first = 0, last = 0;
};

class Plan {
 public:
  /// The geometry has records, so that an epoch has steps. epochs > 0.
  Plan(const data::Geometry& geometry, std::uint64_t epochs, std::uint32_t rank);

  const data::Geometry& geometry() const { return geometry_; }
  std::uint32_t rank() const { return rank_; }
  std::uint64_t epochs() const { return epochs_; }
  std::uint64_t steps() const { return epochs_ * geometry_.steps_per_epoch(); }

  // Steps count from 1, epochs and places in an epoch from 0.
  std::uint64_t epoch_of(std::uint64_t step) const { return (step - 1) / geometry_.steps_per_epoch(); }
  std::uint64_t place_of(std::uint64_t step) const { return (step - 1) % geometry_.steps_per_epoch(); }
  bool ends_epoch(std::uint64_t step) const { return step % geometry_.steps_per_epoch() == 0; }
  /// Samples of all trainers.
  std::uint64_t samples_of(std::uint64_t step) const;
  Run run_of(std::uint64_t step) const;

 private:
  data::Geometry geometry_;
  std::uint64_t epochs_;
  std::uint32_t rank_;
};

}  // namespace trainyard::trainer
