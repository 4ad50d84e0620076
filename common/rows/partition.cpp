#include "common/rows/partition.hpp"

#include <algorithm>

namespace trainyard::rows {

std::uint32_t owner_of(const Partition& partition, std::uint64_t id) {
  if (partition.spread == Spread::hash) return stripe_of(hash_of(id)) * partition.shards / stripes;
  const auto wide = static_cast<unsigned __int128>(id) * partition.shards;
  if (partition.ids == 0) return static_cast<std::uint32_t>(wide >> 64);
  const auto shard = static_cast<std::uint64_t>(wide / partition.ids);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(shard, partition.shards - 1));
}

}  // namespace trainyard::rows
