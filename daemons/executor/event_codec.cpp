#include "daemons/executor/event_codec.hpp"

#include "common/protocol/event_codec.hpp"
#include "common/protocol/fields.hpp"

namespace trainyard::executor {

// ---- fields, once
template <typename V>
void fields(V&, SessionOpened&) {}
template <typename V>
void fields(V&, SessionClosed&) {}
template <typename V>
void fields(V&, MessageReceived&) {}  // the message follows as bytes
template <typename V>
void fields(V& v, TaskStarted& r) {
  v("key", r.key), v("pid", r.pid);
}
template <typename V>
void fields(V& v, TaskExited& r) {
  v("key", r.key), v("exit_code", r.exit_code), v("signal", r.signal), v("memory_peak", r.memory_peak);
  v("error", r.error), v("last_lines", r.last_lines);
}
template <typename V>
void fields(V& v, TaskFound& r) {
  v("report", r.report), v("cluster", r.cluster);
}
template <typename V>
void fields(V& v, TaskRemembered& r) {
  v("key", r.key), v("cluster", r.cluster);
}
template <typename V>
void fields(V&, Tick&) {}
template <typename V>
void fields(V& v, NodeFacts& r) {
  v("node", r.node), v("session", r.session), v("address", r.address), v("capacity", r.capacity);
  v("labels", r.labels), v("gpu_models", r.gpu_models), v("orphan_after", r.orphan_after);
  v("stop_grace", r.stop_grace);
}

namespace {

constexpr VariantFields<Event> event_fields{"event",
                                            {"session_opened", "session_closed", "message", "task_started",
                                             "task_exited", "task_found", "task_remembered", "tick"}};

}  // namespace

std::string encode(const Event& event) {
  return protocol::encode_event<MessageReceived>(event_fields, event);
}

Result<Event> decode_event(std::string_view bytes) {
  return protocol::decode_event<MessageReceived>(event_fields, bytes);
}

std::string encode(const NodeFacts& facts) { return to_text(to_json(facts)); }

Result<NodeFacts> decode_facts(std::string_view text) {
  const auto json = parse_json(text);
  if (!json) return json.error();
  return from_json<NodeFacts>(*json, "facts of the node");
}

}  // namespace trainyard::executor
