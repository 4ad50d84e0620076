// An executor's core under replay: `trainyard-executor --replay FILE`. No processes and no master; the
// recording has it all.
#pragma once

#include "common/runtime/replay.hpp"
#include "daemons/executor/core.hpp"

namespace trainyard::executor {

inline constexpr const char* program = "trainyard-executor";

/// What a recording begins with, as Replay::begin takes it; `at` is when make_state was called.
void begin_recording(runtime::Recorder& recorder, Instant at, const NodeFacts& facts);

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

}  // namespace trainyard::executor
