// One line per event on stderr: time, level, daemon, message. Text for people, JSON for machines.
#pragma once

#include <string>
#include <string_view>

#include "common/base/text.hpp"

namespace trainyard::log {

enum class Level { debug, info, warn, error };

struct Settings {
  std::string daemon = "trainyard";
  Level level = Level::info;
  bool json = false;
};

void configure(const Settings& settings);          // before there are other threads
void adjust(Level level, bool json);               // at any time
Result<Level> parse_level(std::string_view text);  // debug | info | warn | error
void write(Level level, std::string_view message);

template <typename... Args>
void debug(fmt::format_string<Args...> text, Args&&... args) {
  write(Level::debug, fmt::format(text, std::forward<Args>(args)...));
}
template <typename... Args>
void info(fmt::format_string<Args...> text, Args&&... args) {
  write(Level::info, fmt::format(text, std::forward<Args>(args)...));
}
template <typename... Args>
void warn(fmt::format_string<Args...> text, Args&&... args) {
  write(Level::warn, fmt::format(text, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> text, Args&&... args) {
  write(Level::error, fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace trainyard::log
