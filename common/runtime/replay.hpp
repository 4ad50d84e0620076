// Replay: feeds a recording to the core of the daemon that recorded it, prints what it makes of each event,
// and stops where it decides otherwise than the daemon did. One thread.
#pragma once

#include <cstdio>
#include <span>
#include <string>

#include "common/base/result.hpp"
#include "common/base/time.hpp"
#include "common/runtime/recorder.hpp"

namespace trainyard::runtime {

/// What each daemon knows of its own recordings.
class ReplayedCore {
 public:
  virtual ~ReplayedCore() = default;
  /// The state in which the daemon began, as it gave it to Recorder::begin.
  virtual Status begin(Instant at, std::span<const std::string> state) = 0;
  /// The event that `step` will take; its line for people.
  virtual Result<std::string> read(std::string_view event) = 0;
  virtual Decided step(Instant at) = 0;
};

/// A line an event on `out`: number, time, event, and after "->" what was done, if anything. Returns the exit
/// code of the program: 0; 1 when the core decides otherwise, with both decisions and the number of the event
/// on the last lines; 2 when the recording cannot be used or ends in a tear (what comes before it is
/// replayed).
int replay(const std::string& path, const std::string& program, ReplayedCore& core, std::FILE* out);

}  // namespace trainyard::runtime
