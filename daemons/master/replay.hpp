// A master's core under replay: `trainyard-master --replay FILE`. No sockets, no journal; the recording has
// it all.
#pragma once

#include <optional>

#include "common/runtime/replay.hpp"
#include "daemons/master/core.hpp"

namespace trainyard::master {

inline constexpr const char* program = "trainyard-master";

/// What a recording begins with: settings and records, as Replay::begin takes them.
void begin_recording(runtime::Recorder& recorder, Instant at, const Settings& settings,
                     std::span<const std::string> records);

class Replay final : public runtime::ReplayedCore {
 public:
  Status begin(Instant at, std::span<const std::string> state) override;
  Result<std::string> read(std::string_view event) override;
  runtime::Decided step(Instant at) override;
  const State& state() const { return state_; }

 private:
  State state_;
  Event event_;
};

}  // namespace trainyard::master
