// Who uses which record when: splits, epoch orders, batches, partitions. Pure; the same answer on every
// trainer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/config/job_spec.hpp"
#include "common/data/dataset.hpp"

namespace trainyard::data {

struct Split {
  std::vector<std::uint32_t> train, validation, test;
};

/// By the seed and the records' names, per class, so that the parts keep the classes' shares and stay the
/// same when the folder is moved. A given test set replaces the test part.
Split split(const Dataset& dataset, const config::DataSection& data);

/// The training records in the order of an epoch (from 0): a shuffle by (seed, epoch).
std::vector<std::uint32_t> epoch_order(std::span<const std::uint32_t> train, std::uint64_t seed,
                                       std::uint64_t epoch);

/// How the steps of an epoch are cut. A step takes trainers * batch records of the order; the last one what
/// is left.
struct Geometry {
  std::uint64_t records = 0;  // of the training split
  std::uint32_t trainers = 1, batch = 32;
  std::uint64_t steps_per_epoch() const;
  /// Steps that one partition covers: an epoch has at most 8 partitions a trainer.
  std::uint64_t steps_per_partition() const;
  std::uint32_t partitions_per_epoch() const;  // of one trainer
};

/// The records of trainer `rank` in step `step_in_epoch` (from 0). Concatenated over the ranks they are the
/// step's run of the order; a short last step is spread as evenly as it goes, and may leave a trainer none.
std::span<const std::uint32_t> records_of(const Geometry& geometry, std::span<const std::uint32_t> order,
                                          std::uint64_t step_in_epoch, std::uint32_t rank);

}  // namespace trainyard::data
