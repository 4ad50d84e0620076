// The executor's events as bytes and back, for its recordings. A new event does not compile without its
// fields and its name here.
#pragma once

#include <string>
#include <string_view>

#include "common/base/result.hpp"
#include "daemons/executor/core.hpp"

namespace trainyard::executor {

std::string encode(const Event& event);
/// Errc::corrupt or Errc::invalid says what is wrong. Fields that are missing have their defaults.
Result<Event> decode_event(std::string_view bytes);

/// What the node is stands at the beginning of a recording.
std::string encode(const NodeFacts& facts);
Result<NodeFacts> decode_facts(std::string_view text);

}  // namespace trainyard::executor
