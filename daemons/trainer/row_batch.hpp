// The rows of a batch between how a network names them and how shards hold them: in any order with doubles,
// or ascending and none twice. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/rows/partition.hpp"

namespace trainyard::trainer {

class RowBatch {
 public:
  /// `ids` as a batch names them, 2^32 - 1 at most.
  RowBatch(std::span<const std::uint64_t> ids, const rows::Partition& partition);

  /// What goes to a shard: ascending, none twice.
  std::span<const std::uint64_t> ids(std::uint32_t shard) const {
    return std::span(ids_).subspan(begins_[shard], begins_[shard + 1] - begins_[shard]);
  }
  /// out [ids(shard), width]: the sums of the rows [named ids, width] of each of its ids, in the order in
  /// which they were named.
  void sum(std::uint32_t shard, std::span<const float> rows, std::size_t width, std::span<float> out) const;
  /// The opposite: each place where an id was named gets the row of it, from rows [ids(shard), width].
  void spread(std::uint32_t shard, std::span<const float> rows, std::size_t width,
              std::span<float> out) const;

 private:
  std::vector<std::uint64_t> ids_;     // by shards
  std::vector<std::uint32_t> begins_;  // of shards, in ids_
  std::vector<std::uint32_t> places_;  // where ids were named, by ids_
  std::vector<std::uint32_t> firsts_;  // in places_, of each of ids_
};

}  // namespace trainyard::trainer
