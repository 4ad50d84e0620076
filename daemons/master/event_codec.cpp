#include "daemons/master/event_codec.hpp"

#include "common/protocol/event_codec.hpp"
#include "daemons/master/record_fields.hpp"

namespace trainyard::master {

// ---- fields, once
template <typename V>
void fields(V& v, Recovered& r) {
  v("fresh_identity", r.fresh_identity);
}
template <typename V>
void fields(V& v, MessageReceived& r) {
  v("peer", r.peer);  // the message follows as bytes
}
template <typename V>
void fields(V& v, PeerClosed& r) {
  v("peer", r.peer);
}
template <typename V>
void fields(V& v, JobSubmitted& r) {
  v("request", r.request), v("order", r.order), v("secret", r.secret), v("dry_run", r.dry_run);
}
template <typename V>
void fields(V& v, CancelAsked& r) {
  v("request", r.request), v("job", r.job);
}
template <typename V>
void fields(V& v, LogAsked& r) {
  v("request", r.request), v("job", r.job), v("task", r.task), v("error_stream", r.error_stream);
  v("offset", r.offset), v("tail_lines", r.tail_lines);
}
template <typename V>
void fields(V& v, ShutdownAsked& r) {
  v("request", r.request), v("save_first", r.save_first);
}
template <typename V>
void fields(V&, Tick&) {}
template <typename V>
void fields(V& v, Settings& r) {
  v("heartbeat_every", r.heartbeat_every), v("unreachable_after", r.unreachable_after);
  v("lost_after", r.lost_after), v("recovery_grace", r.recovery_grace);
  v("register_within", r.register_within), v("jobs_kept", r.jobs_kept);
}

namespace {

constexpr VariantFields<Event> event_fields{"event",
                                            {"recovered", "message", "peer_closed", "job_submitted",
                                             "cancel_asked", "log_asked", "shutdown_asked", "tick"}};

}  // namespace

std::string encode(const Event& event) {
  return protocol::encode_event<MessageReceived>(event_fields, event);
}

Result<Event> decode_event(std::string_view bytes) {
  return protocol::decode_event<MessageReceived>(event_fields, bytes);
}

std::string encode(const Settings& settings) { return to_text(to_json(settings)); }

Result<Settings> decode_settings(std::string_view text) {
  const auto json = parse_json(text);
  if (!json) return json.error();
  return from_json<Settings>(*json, "settings");
}

}  // namespace trainyard::master
