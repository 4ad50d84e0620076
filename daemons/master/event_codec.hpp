// The master's events as bytes and back, for its recordings. A new event does not compile without its fields
// and its name here.
#pragma once

#include <string>
#include <string_view>

#include "common/base/result.hpp"
#include "daemons/master/core.hpp"

namespace trainyard::master {

std::string encode(const Event& event);
/// Errc::corrupt or Errc::invalid says what is wrong. Fields that are missing have their defaults.
Result<Event> decode_event(std::string_view bytes);

/// The settings stand at the beginning of a recording, before the records.
std::string encode(const Settings& settings);
Result<Settings> decode_settings(std::string_view text);

}  // namespace trainyard::master
