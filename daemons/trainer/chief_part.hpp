// The chief's part of a checkpoint: what the shards do not know. Eight bytes of length, JSON, and, in a job
// without shards, the values themselves.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/base/result.hpp"
#include "common/optim/table.hpp"
#include "common/store/checkpoint.hpp"
#include "daemons/trainer/chief.hpp"

namespace trainyard::trainer {

struct ChiefPart {
  bool ended = false;  // no training is left after this step
  std::vector<EpochRow> history;
  struct {
    double loss = 0;
    std::uint64_t correct = 0, samples = 0;
  } epoch_so_far;     // sums of rank 0 over the steps of the epoch that is not in the history yet
  std::string table;  // what optim::Table::load takes; empty with shards
};

Result<store::PartInfo> write_chief_part(const std::string& directory, const ChiefPart& part,
                                         const std::optional<optim::Table::Saved>& table);
/// Errc::corrupt says what does not fit.
Result<ChiefPart> read_chief_part(const std::string& directory);

}  // namespace trainyard::trainer
