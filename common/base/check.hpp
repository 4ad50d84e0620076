// check: an invariant of our own code, on in every build. A broken one ends the process with file and line;
// the supervisor restarts it and durable state recovers. Never for input from outside: that is a Result.
#pragma once

#include <source_location>
#include <string_view>

namespace trainyard {

[[noreturn]] void check_failed(std::string_view message, std::source_location where);

inline void check(bool condition, std::string_view message,
                  std::source_location where = std::source_location::current()) {
  if (!condition) [[unlikely]]
    check_failed(message, where);
}

}  // namespace trainyard
