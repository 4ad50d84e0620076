// Which shard holds which row, and how the rows of a shard are shared out over its stripes. Pure functions of
// the id, the same answer on every trainer and shard.
#pragma once

#include <cstdint>

namespace trainyard::rows {

/// One owner at a time writes a stripe; whole stripes go to a shard under Spread::hash. A number of the
/// format.
inline constexpr std::uint32_t stripes = 256;

/// The finalizer of splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014):
/// one to one, so that no two ids share a hash.
constexpr std::uint64_t hash_of(std::uint64_t id) {
  id = (id ^ (id >> 30)) * 0xbf58476d1ce4e5b9ull;
  id = (id ^ (id >> 27)) * 0x94d049bb133111ebull;
  return id ^ (id >> 31);
}
constexpr std::uint32_t stripe_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 56); }

enum class Spread : std::uint8_t {
  hash,   // by whole stripes: even, whatever the ids are
  range,  // shard k has the k-th part of 0..ids-1 in one piece; what lies beyond goes to the last shard
};

struct Partition {
  Spread spread = Spread::hash;
  std::uint32_t shards = 1;  // with hash at most as many as there are stripes
  std::uint64_t ids = 0;     // range: how many there are; 0 stands for all 2^64
  friend bool operator==(const Partition&, const Partition&) = default;
};

/// 0 .. shards - 1.
std::uint32_t owner_of(const Partition& partition, std::uint64_t id);

}  // namespace trainyard::rows
