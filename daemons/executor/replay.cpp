#include "daemons/executor/replay.hpp"

#include "daemons/executor/event_codec.hpp"
#include "daemons/executor/outline.hpp"

namespace trainyard::executor {

void begin_recording(runtime::Recorder& recorder, Instant at, const NodeFacts& facts) {
  recorder.begin(at, encode(facts));
}

Status Replay::begin(Instant at, std::span<const std::string> state) {
  if (state.size() != 1) return Error{Errc::corrupt, "it does not begin with one node"};
  auto facts = decode_facts(state.front());
  if (!facts) return facts.error();
  state_ = make_state(std::move(*facts), at);
  return {};
}

Result<std::string> Replay::read(std::string_view event) {
  auto decoded = decode_event(event);
  if (!decoded) return decoded.error();
  event_ = std::move(*decoded);
  return outline(event_);
}

runtime::Decided Replay::step(Instant at) { return summary(executor::step(state_, event_, at)); }

}  // namespace trainyard::executor
