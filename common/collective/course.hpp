// Which bytes of an array go round the ring, in which order, for each collective operation. Pure; the same
// answer everywhere.
#pragma once

#include <cstdint>
#include <vector>

namespace trainyard::collective {

struct Range {
  std::uint64_t begin = 0, bytes = 0;
  bool sums = false;  // what arrives is added to what is there, else it takes its place
  friend bool operator==(const Range&, const Range&) = default;
};

/// What one rank sends to the next and receives from the previous one, each in this order. Behind the first
/// `head` bytes, byte i of the sends is byte i of what was received before: it can leave as soon as that is
/// there. The first range is sent as the operation found it.
struct Course {
  std::vector<Range> sends, receives;
  std::uint64_t head = 0;
};

/// An array of values in `ranks` even parts; whole values of `unit` bytes.
Range chunk_of(std::uint64_t bytes, std::uint32_t ranks, std::uint32_t index, std::uint64_t unit = 4);

/// Rank r ends up with the sum of chunk r. Chunk c starts at rank c + 1 and is summed on its way:
/// ((x[c+1] + x[c+2]) + ...) + x[c], ranks modulo `ranks`.
Course reduce_scatter_course(std::uint32_t rank, std::uint32_t ranks, std::uint64_t bytes);
/// Rank r begins with chunk r, all end with all.
Course all_gather_course(std::uint32_t rank, std::uint32_t ranks, std::uint64_t bytes);
/// One behind the other: 2 (ranks - 1) turns of a chunk each (Patarasuk and Yuan, "Bandwidth optimal
/// all-reduce algorithms for clusters of workstations", 2009).
Course all_reduce_course(std::uint32_t rank, std::uint32_t ranks, std::uint64_t bytes);
/// From `root` along the ring to the rank before it.
Course broadcast_course(std::uint32_t rank, std::uint32_t ranks, std::uint64_t bytes, std::uint32_t root);

}  // namespace trainyard::collective
