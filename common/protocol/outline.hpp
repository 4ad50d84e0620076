// A message as a few words for people: what it is, about what, and the numbers that matter. Never a secret,
// never the whole of it.
#pragma once

#include <string>

#include "common/protocol/messages.hpp"

namespace trainyard::protocol {

std::string outline(const Message& message);

/// Control characters become spaces: what the message quotes stays on one line.
std::string one_line(std::string text);

}  // namespace trainyard::protocol
