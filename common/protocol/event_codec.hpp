// The events of a core as bytes and back: the fields of the struct as a line of JSON, and behind it, when the
// event brings a message, that message as it is on the wire.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "common/base/fields.hpp"
#include "common/protocol/codec.hpp"

namespace trainyard::protocol {

/// `Received` is the one event of the variant that has a `message`; its other fields are among `kinds`.
template <typename Received, typename Event>
std::string encode_event(const VariantFields<Event>& kinds, const Event& event) {
  std::string bytes = to_text(kinds.write(event));  // holds no newline
  if (const auto* received = std::get_if<Received>(&event)) bytes += "\n" + encode(received->message);
  return bytes;
}

/// Errc::corrupt or Errc::invalid says what is wrong. Fields that are missing have their defaults.
template <typename Received, typename Event>
Result<Event> decode_event(const VariantFields<Event>& kinds, std::string_view bytes) {
  const std::size_t line = bytes.find('\n');
  const auto json = parse_json(bytes.substr(0, line));
  if (!json) return json.error();
  auto event = kinds.read(*json);
  if (!event) return event.error();
  auto* received = std::get_if<Received>(&*event);
  if ((received == nullptr) != (line == std::string_view::npos))
    return Error{Errc::corrupt, "a message is missing from its event, or is there without one"};
  if (received == nullptr) return event;
  auto message = decode(bytes.substr(line + 1));
  if (!message) return message.error();
  received->message = std::move(*message);
  return event;
}

}  // namespace trainyard::protocol
