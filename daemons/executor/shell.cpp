#include "daemons/executor/shell.hpp"

#include <filesystem>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/protocol/codec.hpp"
#include "common/runtime/process.hpp"
#include "daemons/executor/event_codec.hpp"
#include "daemons/executor/outline.hpp"
#include "daemons/executor/replay.hpp"

namespace trainyard::executor {

namespace {
constexpr Duration tick_every = 50ms;
}

Result<std::unique_ptr<Shell>> Shell::open(net::Reactor& reactor, NodeFacts facts, SandboxFacts sandbox,
                                           const RecordOptions& record) {
  if (const Status made = store::make_directories(sandbox.work_dir); !made) return made.error();
  auto lock = store::FileLock::take(sandbox.work_dir + "/lock");
  if (!lock) {
    if (lock.error().code != Errc::conflict) return lock.error();
    return lock.error().with(format("another executor uses {}", sandbox.work_dir));
  }
  const std::string work_dir = sandbox.work_dir;
  std::unique_ptr<Shell> shell(new Shell(reactor, std::move(*lock), std::move(facts), std::move(sandbox)));
  if (const Status prepared = shell->sandbox_.prepare(); !prepared) return prepared.error();
  if (const Status recording = shell->begin_recording(work_dir, record); !recording) return recording.error();
  shell->find_tasks();
  return shell;
}

Shell::Shell(net::Reactor& reactor, store::FileLock lock, NodeFacts facts, SandboxFacts sandbox)
    : reactor_(reactor),
      lock_(std::move(lock)),
      began_(now()),
      state_(make_state(std::move(facts), began_)),
      sandbox_(sandbox),
      processes_(reactor, sandbox.binaries + "/trainyard-shim",
                 [this](const Event& event) { dispatch(event); }) {}

Status Shell::begin_recording(const std::string& work_dir, const RecordOptions& record) {
  if (record.file.empty()) return {};
  const std::string path = (std::filesystem::path(work_dir) / record.file).string();
  auto recorder = runtime::Recorder::create(path, program, record.bytes_max);
  if (!recorder) return recorder.error().with("executor.record");
  recorder_ = std::move(*recorder);
  executor::begin_recording(*recorder_, began_, state_.facts);
  log::info("events are recorded in {}; '{} --replay' takes it", path, program);
  return {};
}

void Shell::find_tasks() {
  for (const FoundTask& task : sandbox_.found_done()) dispatch(TaskRemembered{task.key, task.cluster});
  for (const FoundTask& task : sandbox_.found_live()) {
    dispatch(processes_.adopt(task.key, task.directory, task.cluster));
  }
  if (processes_.running() > 0) log::info("{} running tasks are adopted", processes_.running());
}

void Shell::start(const net::Endpoint& master) {
  connector_ = std::make_unique<net::Connector>(
      reactor_, master, [this](std::shared_ptr<net::Session> session) { return opened(std::move(session)); },
      [this](const std::string& reason) { unreachable(reason); });
  reactor_.every(tick_every, [this] {
    processes_.poll();
    dispatch(Tick{});
  });
}

void Shell::leave(const std::string& why) {
  log::info("{}; {} tasks run on and are adopted by the next executor", why, processes_.running());
  connector_.reset();
  session_.reset();
}

net::SessionEvents Shell::opened(std::shared_ptr<net::Session> session) {
  log::info("connected to the master at {}", session->peer());
  last_reason_.clear();
  session_ = std::move(session);
  dispatch(SessionOpened{});
  return {.frame =
              [this](std::string_view body) {
                auto message = protocol::decode(body);
                if (!message) return log::warn("the master sent nonsense: {}", message.error().message);
                dispatch(MessageReceived{std::move(*message)});
              },
          .closed =
              [this](const std::string& reason) {
                log::warn("lost the master: {}", reason);
                session_.reset();
                dispatch(SessionClosed{});
              }};
}

void Shell::unreachable(const std::string& reason) {
  if (reason != last_reason_) log::warn("{}; trying on", reason);
  last_reason_ = reason;
}

void Shell::dispatch(const Event& event) {
  const Instant at = now();
  if (recorder_) recorder_->event(at, encode(event));
  const Actions actions = step(state_, event, at);
  if (recorder_) recorder_->decided(at, summary(actions));
  for (const Action& action : actions) carry_out(action);
}

void Shell::carry_out(const Action& action) {
  std::visit(overloaded{[this](const Send& send) {
                          if (session_) session_->send(protocol::encode(send.message));
                        },
                        [this](const Spawn& spawn) {
                          const TaskKey& key = spawn.launch.key;
                          log::info("starting {} of '{}'", name(key), spawn.launch.job_name);
                          const auto directory = sandbox_.furnish(spawn.launch, spawn.cluster);
                          if (directory) return processes_.start(key, *directory);
                          reactor_.post([this, key, why = directory.error().message] {
                            dispatch(TaskExited{.key = key, .error = why});
                          });
                        },
                        [this](const Stop& stop) {
                          log::info("stopping {} within {}", name(stop.key), duration_text(stop.grace));
                          processes_.stop(stop.key, stop.grace);
                        },
                        [this](const Destroy& destroy) { processes_.destroy(destroy.key); },
                        [this](const Remove& remove) {
                          const Status retired = sandbox_.retire(remove.key);
                          if (!retired) log::warn("{}", retired.error().message);
                        },
                        [this](const AnswerLog& answer) {
                          if (session_) session_->send(protocol::encode(sandbox_.read_log(answer.request)));
                        },
                        [](const Say& say) { log::info("{}", say.text); },
                        [this](const Quit& quit) {
                          quit_reason_ = quit.reason;
                          reactor_.stop();
                        }},
             action);
}

}  // namespace trainyard::executor
