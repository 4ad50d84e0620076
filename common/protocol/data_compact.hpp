// The short form of a data header, for the messages that come by the hundred thousand: 64 bytes of fixed
// layout instead of a Protobuf message. It begins with a byte 0, with which no Protobuf message begins. Of
// common/protocol itself.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/protocol/data.hpp"

namespace trainyard::protocol {

/// Layout, little-endian: u8 0, u8 version 1, u8 kind, u8 flags (1: checkpoint is the sequence, 2 averages,
/// 4 last), u8 ending, u8 coding, u16 staleness, u32 incarnation, trainer, shard, samples, u64 job, sequence,
/// version, cut, f64 norm. Nothing: the header says more than the short form holds.
std::optional<std::string> encode_compact(const DataHeader& header);

bool is_compact(std::string_view bytes);
/// Bounds as of the long form.
Result<DataHeader> decode_compact(std::string_view bytes);

}  // namespace trainyard::protocol
