#include "daemons/master/replay.hpp"

#include "common/base/text.hpp"
#include "daemons/master/event_codec.hpp"
#include "daemons/master/outline.hpp"

namespace trainyard::master {

void begin_recording(runtime::Recorder& recorder, Instant at, const Settings& settings,
                     std::span<const std::string> records) {
  recorder.begin(at, encode(settings));
  for (const std::string& record : records) recorder.begin(at, record);
}

Status Replay::begin(Instant, std::span<const std::string> state) {
  if (state.empty()) return Error{Errc::corrupt, "it has no beginning"};
  auto settings = decode_settings(state.front());
  if (!settings) return settings.error();
  state_ = {.settings = *settings};
  for (std::size_t i = 1; i < state.size(); ++i) {
    const auto record = decode_record(state[i]);
    if (!record) return record.error().with(format("record {}", i));
    fold(state_, *record);
  }
  return {};
}

Result<std::string> Replay::read(std::string_view event) {
  auto decoded = decode_event(event);
  if (!decoded) return decoded.error();
  event_ = std::move(*decoded);
  return outline(event_);
}

runtime::Decided Replay::step(Instant at) { return summary(master::step(state_, event_, at)); }

}  // namespace trainyard::master
