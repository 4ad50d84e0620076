#include "daemons/master/outline.hpp"

#include "common/base/fields.hpp"
#include "common/protocol/codec.hpp"
#include "common/protocol/outline.hpp"
#include "daemons/master/record_fields.hpp"

namespace trainyard::master {

// ---- fields of the answers, once
constexpr JobState last_value(JobState) { return JobState::cancelled; }
template <typename V>
void fields(V& v, Accepted& r) {
  v("job", r.job), v("name", r.name), v("plan", r.plan), v("dry_run", r.dry_run);
}
template <typename V>
void fields(V& v, Cancelling& r) {
  v("job", r.job), v("state", r.state);
}
template <typename V>
void fields(V& v, LogText& r) {
  v("task", r.task), v("error_stream", r.error_stream), v("bytes", r.bytes), v("offset", r.offset),
      v("end", r.end);
}
template <typename V>
void fields(V&, Closing&) {}

namespace {

using Text = runtime::ActionText;

std::string peer_text(PeerId peer) { return format("peer {}", static_cast<std::uint64_t>(peer)); }

struct EventOutline {
  std::string operator()(const Recovered&) const { return "recovered"; }
  std::string operator()(const MessageReceived& e) const {
    return format("{}: {}", peer_text(e.peer), protocol::outline(e.message));
  }
  std::string operator()(const PeerClosed& e) const { return peer_text(e.peer) + " closed"; }
  std::string operator()(const JobSubmitted& e) const {
    return format("request {}: submit '{}'{}", e.request, e.order.name, e.dry_run ? ", a dry run" : "");
  }
  std::string operator()(const CancelAsked& e) const {
    return format("request {}: cancel job {}", e.request, number(e.job));
  }
  std::string operator()(const LogAsked& e) const {
    return format("request {}: log of {} of job {}", e.request, e.task.empty() ? "a task" : e.task,
                  number(e.job));
  }
  std::string operator()(const ShutdownAsked& e) const {
    return format("request {}: shut down{}", e.request, e.save_first ? ", saving first" : "");
  }
  std::string operator()(const Tick&) const { return "tick"; }
};

std::string about(const Record& record) {
  std::string text = name(record);
  std::visit(
      [&](const auto& r) {
        if constexpr (requires { r.key.task; }) {
          text += " " + protocol::name(r.key);
        } else if (job_of(record) != JobId{}) {
          text += format(" job {}", number(job_of(record)));
        }
        if constexpr (requires { r.incarnation; }) text += format(" life {}", number(r.incarnation));
        if constexpr (requires { r.step; }) text += format(" step {}", r.step);
        if constexpr (requires { r.cause; }) text += r.cause.empty() ? "" : format(" ({})", r.cause);
      },
      record);
  return text;
}

Text text_of(const Reply& reply) {
  const auto with_fields = [](std::string outline, const auto& value) {
    return Text{std::move(outline), to_text(to_json(value))};
  };
  return std::visit(
      overloaded{
          [&](const Accepted& r) {
            return with_fields(r.dry_run ? std::string("it would fit") : format("job {}", number(r.job)), r);
          },
          [&](const Cancelling& r) {
            return with_fields(format("job {} is {}", number(r.job), name(r.state)), r);
          },
          [&](const LogText& r) { return with_fields(format("{} bytes of {}", r.bytes.size(), r.task), r); },
          [&](const Closing& r) { return with_fields("closing", r); },
          [&](const Error& r) {
            return Text{"error: " + r.message, format("{} {}", static_cast<int>(r.code), r.message)};
          }},
      reply);
}

Text text_of(const Action& action) {
  return std::visit(
      overloaded{[](const Append& a) {
                   return Text{"remember " + about(a.record), encode(a.record)};
                 },
                 [](const Send& a) {
                   return Text{
                       format("send {} {}", peer_text(a.peer), protocol::outline(a.message)),
                       format("send {} ", static_cast<std::uint64_t>(a.peer)) + protocol::encode(a.message)};
                 },
                 [](const Answer& a) {
                   const Text reply = text_of(a.reply);
                   return Text{format("answer request {}: {}", a.request, reply.outline),
                               format("answer {} {} {}", a.request, a.reply.index(), reply.detail)};
                 },
                 [](const Close& a) {
                   return Text{"close " + peer_text(a.peer), "close " + peer_text(a.peer)};
                 },
                 [](const Say& a) {
                   return Text{format("say \"{}\"", a.text), ""};
                 },
                 [](const Quit&) {
                   return Text{"quit", "quit"};
                 }},
      action);
}

}  // namespace

std::string outline(const Event& event) { return protocol::one_line(std::visit(EventOutline{}, event)); }

runtime::Decided summary(const Actions& actions) {
  std::vector<Text> texts;
  for (const Action& action : actions) {
    texts.push_back(text_of(action));
    texts.back().outline = protocol::one_line(std::move(texts.back().outline));
  }
  return runtime::summary(texts);
}

}  // namespace trainyard::master
