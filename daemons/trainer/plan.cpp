#include "daemons/trainer/plan.hpp"

#include <algorithm>

#include "common/base/check.hpp"

namespace trainyard::trainer {

Plan::Plan(const data::Geometry& geometry, std::uint64_t epochs, std::uint32_t rank)
    : geometry_(geometry), epochs_(epochs), rank_(rank) {
  check(geometry.records > 0 && epochs > 0 && rank < geometry.trainers,
        "a plan has steps and a place in the gang");
}

std::uint64_t Plan::samples_of(std::uint64_t step) const {
  const std::uint64_t full = std::uint64_t{geometry_.trainers} * geometry_.batch;
  return std::min(full, geometry_.records - place_of(step) * full);
}

Run Plan::run_of(std::uint64_t step) const {
  const std::uint64_t length = geometry_.steps_per_partition();
  const std::uint64_t index = place_of(step) / length;
  const std::uint64_t before = epoch_of(step) * geometry_.steps_per_epoch();
  const std::uint64_t end = std::min((index + 1) * length, geometry_.steps_per_epoch());
  return {
      {epoch_of(step), static_cast<std::uint32_t>(index), rank_}, before + index * length + 1, before + end};
}

}  // namespace trainyard::trainer
