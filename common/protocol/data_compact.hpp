// The short form of a data header, for the messages that come by the hundred thousand: 96 bytes of fixed
// layout instead of a Protobuf message. It begins with a byte 0, with which no Protobuf message begins. Of
// common/protocol itself.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/protocol/data.hpp"

namespace trainyard::protocol {

/// Layout, little-endian: u8 0, u8 version 1, u8 kind, u8 flags (1 averages, 2 last), u8 ending, u8 coding,
/// u16 0, u32 incarnation, trainer, shard, samples, u64 job, sequence, epoch, steps_per_epoch, f64 norm, u64
/// checkpoint, cut, version, staleness.
/// Nothing: the header says more than the short form holds.
std::optional<std::string> encode_compact(const DataHeader& header);

bool is_compact(std::string_view bytes);
/// Bounds as of the long form.
Result<DataHeader> decode_compact(std::string_view bytes);

}  // namespace trainyard::protocol
