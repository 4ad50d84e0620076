// Header of messages about tables of rows between trainers and shards: a small Protobuf frame behind four
// letters that tell it from a DataHeader. The frame after it holds rows (float32, little-endian) and, behind
// them, packed ids (common/rows/ids.hpp); neither is copied through Protobuf.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/result.hpp"

namespace trainyard::protocol {

/// Of the second frame, in either direction.
inline constexpr std::uint64_t rows_bytes_max = std::uint64_t{256} << 20;

enum class RowsKind : std::uint8_t {
  create,   // trainer -> shard: `spec` of `table`; the first one makes it, the same again is no change
  pull,     // trainer -> shard: `count` ids; answered by `rows`
  push,     // trainer -> shard: `count` rows of gradients, then their ids; answered by `applied`
  created,  // shard -> trainer: the table is there; `sequence`: the last applied step of the trainer's
  rows,     // shard -> trainer: rows in the order of the ids of pull `sequence`
  applied,  // shard -> trainer: push `sequence` is in the table, once
  refused,  // shard -> trainer: `reason`; the message changed nothing
};

/// What all trainers must say alike. The update rule, its schedule and the clip of values are the job's.
struct RowTable {
  std::uint32_t width = 0;  // floats of a row
  std::uint64_t seed = 0;
  std::uint8_t first = 0;  // of first values: 0 zeros, 1 uniform, 2 bell
  float scale = 0;
  double rate = 1;   // times the step's rate
  double decay = 0;  // weight decay; ftrl: share of l1 and l2 that holds
  std::uint32_t admit_after = 1;
  std::uint64_t filter_cells = std::uint64_t{1} << 22;
  std::uint64_t expire_after = 0;      // updates
  std::uint64_t memory_bytes_max = 0;  // of a shard
  std::uint8_t spread = 0;             // of ids over the shards: 0 hash, 1 range
  std::uint64_t ids = 0;               // of a range
  bool on_arrival = false;  // a push is applied when it comes; else when all trainers have pushed the step
  std::uint64_t steps_per_epoch = 1;
  friend bool operator==(const RowTable&, const RowTable&) = default;
};

struct RowsHeader {
  RowsKind kind = RowsKind::pull;
  std::uint64_t job = 0;
  std::uint32_t incarnation = 0;  // of the gang
  std::uint32_t trainer = 0;      // rank
  std::uint32_t shard = 0;
  std::uint64_t table = 0;
  /// push: the step, or with on_arrival the number of the trainer's push; both from 1, applied exactly once.
  /// pull: any number, which comes back.
  std::uint64_t sequence = 0;
  std::uint32_t samples = 0;  // push: how many samples the gradients are sums over
  std::uint64_t count = 0;    // ids
  RowTable spec;              // create
  std::string reason;
  friend bool operator==(const RowsHeader&, const RowsHeader&) = default;
};

std::string encode(const RowsHeader& header);
/// Of the first frame of a message, whichever it is.
bool is_rows_header(std::string_view bytes);
Result<RowsHeader> decode_rows_header(std::string_view bytes);

}  // namespace trainyard::protocol
