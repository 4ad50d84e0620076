// Bytes <-> messages. Rejects what is malformed, too large (4 MiB; job files and log chunks fit) or holds
// more than 100,000 elements, so that cores never see nonsense. The only user of Protobuf for control
// messages.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/base/result.hpp"
#include "common/protocol/messages.hpp"

namespace trainyard::protocol {

inline constexpr std::size_t message_bytes_max = std::size_t{4} << 20;

/// The same message gives the same bytes. Keeps the bounds of messages.hpp by cutting what is longer:
/// last_lines, PartitionDone::bad, LogChunk::bytes (the reader asks on from `offset`). Above
/// message_bytes_max, reports of tasks go without their last_lines.
std::string encode(const Message& message);
/// Errc::corrupt when the bytes are not a message; Errc::invalid names the field that cannot be right.
Result<Message> decode(std::string_view bytes);
/// "Heartbeat", for logs.
const char* name(const Message& message);

}  // namespace trainyard::protocol
