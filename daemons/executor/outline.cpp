#include "daemons/executor/outline.hpp"

#include "common/base/text.hpp"
#include "common/protocol/codec.hpp"
#include "common/protocol/outline.hpp"

namespace trainyard::executor {

namespace {

using Text = runtime::ActionText;

std::string end_text(int exit_code, int signal, const std::string& error) {
  return (signal != 0 ? format("signal {}", signal) : format("code {}", exit_code)) +
         (error.empty() ? "" : format(" ({})", error));
}

struct EventOutline {
  std::string operator()(const SessionOpened&) const { return "the line to the master is open"; }
  std::string operator()(const SessionClosed&) const { return "the line to the master is closed"; }
  std::string operator()(const MessageReceived& e) const { return "master: " + protocol::outline(e.message); }
  std::string operator()(const TaskStarted& e) const {
    return format("{} runs as pid {}", name(e.key), e.pid);
  }
  std::string operator()(const TaskExited& e) const {
    return format("{} ended, {}", name(e.key), end_text(e.exit_code, e.signal, e.error));
  }
  std::string operator()(const TaskFound& e) const {
    const protocol::TaskReport& r = e.report;
    return format("{} was found, {}", name(r.key),
                  r.state == protocol::ProcessState::exited
                      ? "ended, " + end_text(r.exit_code, r.signal, r.error)
                      : format("pid {}", r.pid));
  }
  std::string operator()(const TaskRemembered& e) const { return format("{} ran here once", name(e.key)); }
  std::string operator()(const Tick&) const { return "tick"; }
};

/// Where the words say it all, they are the detail as well.
Text plain(std::string words) { return {words, words}; }

Text text_of(const Action& action) {
  return std::visit(
      overloaded{
          [](const Send& a) {
            return Text{"send " + protocol::outline(a.message), "send " + protocol::encode(a.message)};
          },
          [](const Spawn& a) {
            return Text{"start " + name(a.launch.key),
                        format("start {} ", a.cluster) + protocol::encode(a.launch)};
          },
          [](const Stop& a) {
            return plain(format("stop {} within {}", name(a.key), duration_text(a.grace)));
          },
          [](const Destroy& a) { return plain("kill " + name(a.key) + " and its shim"); },
          [](const Remove& a) { return plain("retire " + name(a.key)); },
          [](const AnswerLog& a) {
            return Text{"answer " + protocol::outline(a.request), "log " + protocol::encode(a.request)};
          },
          [](const Say& a) {
            return Text{format("say \"{}\"", a.text), ""};
          },
          [](const Quit& a) { return plain("quit: " + a.reason); }},
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

}  // namespace trainyard::executor
