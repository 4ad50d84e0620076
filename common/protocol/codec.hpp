// Bytes <-> messages. Rejects what is malformed, too large (1 MiB; job files and log chunks fit) or holds more
// than 100,000 elements, so that cores never see nonsense. The only user of Protobuf for control messages.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/base/result.hpp"
#include "common/protocol/messages.hpp"

namespace trainyard::protocol {

inline constexpr std::size_t message_bytes_max = std::size_t{4} << 20;

std::string encode(const Message& message);
Result<Message> decode(std::string_view bytes);
/// "Heartbeat", for logs.
const char* name(const Message& message);

}  // namespace trainyard::protocol
