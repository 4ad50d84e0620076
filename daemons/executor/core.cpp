#include "daemons/executor/core.hpp"

#include <algorithm>

#include "common/base/text.hpp"

namespace trainyard::executor {

namespace {

using protocol::ProcessState;

bool ended(const Task& task) { return task.report.state == ProcessState::exited; }

class Step {
 public:
  Step(State& state, Instant now) : state_(state), now_(now.monotonic) {}

  Actions run(const Event& event) {
    std::visit([this](const auto& e) { on(e); }, event);
    if (changed_ && state_.registered) heartbeat();
    return std::move(actions_);
  }

 private:
  // ---- the session
  void on(const SessionOpened&) {
    state_.connected = true;
    state_.registered = false;
    register_node();
  }
  void on(const SessionClosed&) {
    state_.connected = false;
    if (std::exchange(state_.registered, false)) state_.alone_since = now_;
  }
  void on(const MessageReceived& event) {
    std::visit(
        overloaded{[this](const protocol::Registered& m) { registered(m); },
                   [this](const protocol::Refused& m) { refused(m); },
                   [this](const protocol::LaunchTask& m) { launch(m); },
                   [this](const protocol::StopTask& m) { stop_task(m); },
                   [this](const protocol::ForgetTask& m) { forget(m); },
                   [this](const protocol::ReadLog& m) { actions_.push_back(AnswerLog{m}); },
                   [this](const auto&) { say("the master sent a message that no executor takes; ignored"); }},
        event.message);
  }

  void registered(const protocol::Registered& message) {
    const auto asked = std::chrono::milliseconds(std::min<std::uint64_t>(message.heartbeat_ms, 10'000));
    state_.heartbeat_every = std::max<Duration>(asked, 50ms);
    state_.heartbeat_due = now_ + state_.heartbeat_every;
    state_.alone_since.reset();
    state_.orphans_stopped = false;
    state_.registered = true;
    state_.cluster = message.cluster;
    // Another master's numbers may be the same as ours: its processes must be gone before ours can be told
    // apart.
    for (auto& [key, task] : state_.tasks) {
      if (task.unwanted && state_.newest[key.task].cluster != state_.cluster) task.waiting.reset();
      if (task.cluster != state_.cluster && !task.unwanted) {
        say(format("{} belongs to another master; it is stopped", name(key)));
        drop(key, task, state_.facts.stop_grace);
      }
    }
    remove_dropped();
  }

  void refused(const protocol::Refused& message) {
    state_.registered = false;
    if (!state_.alone_since) state_.alone_since = now_;
    state_.register_due = now_ + register_again_every;
    if (message.final) return actions_.push_back(Quit{message.reason});
    say(format("the master refused this node: {}; trying again", message.reason));
  }

  void register_node() {
    state_.register_due = now_ + register_again_every;
    const NodeFacts& facts = state_.facts;
    actions_.push_back(Send{protocol::RegisterNode{.node = facts.node,
                                                   .session = facts.session,
                                                   .version = protocol::version,
                                                   .address = facts.address,
                                                   .capacity = facts.capacity,
                                                   .labels = facts.labels,
                                                   .gpu_models = facts.gpu_models,
                                                   .tasks = reports()}});
  }

  void heartbeat() {
    state_.heartbeat_due = now_ + state_.heartbeat_every;
    actions_.push_back(Send{protocol::Heartbeat{state_.facts.node, state_.facts.session, reports()}});
  }

  std::vector<protocol::TaskReport> reports() const {
    std::vector<protocol::TaskReport> all;
    for (const auto& [key, task] : state_.tasks) {
      if (!task.unwanted) all.push_back(task.report);
    }
    return all;
  }

  // ---- commands of the master; each may come twice, late, or after a newer one
  void launch(const protocol::LaunchTask& message) {
    changed_ = true;  // in any case the master hears what there is
    const TaskKey& key = message.key;
    if (!state_.registered) return say(format("{} was launched before the registration; ignored", name(key)));
    const auto newest = state_.newest.find(key.task);
    if (newest != state_.newest.end() && newest->second.cluster == state_.cluster &&
        newest->second.incarnation >= key.incarnation) {
      if (!state_.tasks.contains(key))
        say(format("{} ended before or is outdated; not started again", name(key)));
      return;
    }
    if (state_.tasks.size() >= tasks_max) {
      return say(format("{} is not started: the node keeps {} tasks already", name(key), tasks_max));
    }
    remember(key, state_.cluster);
    stop_older(key);
    Task task{.report = {.key = key}, .cluster = state_.cluster, .waiting = message};
    if (const auto it = state_.tasks.find(key); it != state_.tasks.end()) {
      if (!it->second.unwanted) return;
      // The same number from another master: its process ends first, then this launch takes the entry over.
      it->second.waiting = std::move(task.waiting);
      return;
    }
    state_.tasks.emplace(key, std::move(task));
    spawn_if_alone(key);
  }

  void stop_older(const TaskKey& key) {
    for (auto& [other, task] : state_.tasks) {
      if (other.task != key.task || other == key || ended(task)) continue;
      if (task.waiting && !task.unwanted) {
        cancel(task);
      } else {
        task.waiting.reset();
        stop(other, task, state_.facts.stop_grace);
      }
    }
  }

  void spawn_if_alone(const TaskKey& key) {
    const auto it = state_.tasks.find(key);
    for (const auto& [other, task] : state_.tasks) {
      if (other.task == key.task && other != key && !ended(task)) return;
    }
    Task& task = it->second;
    const protocol::LaunchTask launch = std::move(*std::exchange(task.waiting, std::nullopt));
    for (const std::uint32_t gpu : launch.gpus) {
      if (gpu >= state_.facts.capacity.gpus) {
        return end(task, format("GPU {} was granted, but {} has {} GPUs", gpu, state_.facts.node,
                                state_.facts.capacity.gpus));
      }
    }
    actions_.push_back(Spawn{launch, task.cluster});
  }

  void stop_task(const protocol::StopTask& message) {
    changed_ = true;
    const auto it = state_.tasks.find(message.key);
    if (it == state_.tasks.end() || it->second.unwanted || ended(it->second)) return;
    if (it->second.waiting) return cancel(it->second);
    const auto grace = std::chrono::milliseconds(std::min<std::uint64_t>(message.grace_ms, 3'600'000));
    stop(it->first, it->second, grace);
  }

  void forget(const protocol::ForgetTask& message) {
    const auto it = state_.tasks.find(message.key);
    if (it == state_.tasks.end() || it->second.unwanted) return;
    drop(it->first, it->second, 0s);
    changed_ = true;
    remove_dropped();
  }

  // ---- processes
  void on(const TaskStarted& event) {
    const auto it = state_.tasks.find(event.key);
    if (it == state_.tasks.end() || ended(it->second)) return;
    it->second.report.state = ProcessState::running;
    it->second.report.pid = event.pid;
    changed_ = true;
  }

  void on(const TaskExited& event) {
    const auto it = state_.tasks.find(event.key);
    if (it == state_.tasks.end() || ended(it->second)) return;
    protocol::TaskReport& report = it->second.report;
    report.exit_code = event.exit_code;
    report.signal = event.signal;
    report.memory_peak = event.memory_peak;
    report.last_lines = event.last_lines;
    end(it->second, event.error);
    remove_dropped();
    spawn_waiting(event.key.task);
  }

  void on(const TaskFound& event) {
    const TaskKey& key = event.report.key;
    remember(key, event.cluster);
    state_.tasks.insert_or_assign(key, Task{.report = event.report, .cluster = event.cluster});
  }

  void on(const TaskRemembered& event) { remember(event.key, event.cluster); }

  void on(const Tick&) {
    if (state_.connected && !state_.registered && now_ >= state_.register_due) register_node();
    if (state_.registered && now_ >= state_.heartbeat_due) heartbeat();
    for (auto& [key, task] : state_.tasks) {
      if (ended(task) || !task.destroy_at || now_ < *task.destroy_at) continue;
      say(format("{} does not end; its shim is killed", name(key)));
      task.destroy_at = now_ + destroy_after;
      actions_.push_back(Destroy{key});
    }
    stop_orphans();
  }

  void stop_orphans() {
    const Duration patience = state_.facts.orphan_after;
    if (patience == 0s || !state_.alone_since || now_ - *state_.alone_since < patience) return;
    if (std::exchange(state_.orphans_stopped, true)) return;
    for (auto& [key, task] : state_.tasks) {
      if (ended(task)) continue;
      say(format("{} is stopped: no master for {}", name(key), duration_text(patience)));
      if (task.waiting && !task.unwanted) {
        cancel(task);
      } else {
        stop(key, task, state_.facts.stop_grace);
      }
    }
  }

  // ---- what the above have in common
  /// An earlier end stands: asking again with more patience changes nothing.
  void stop(const TaskKey& key, Task& task, Duration grace) {
    const Time kill_at = now_ + grace;
    if (ended(task) || (task.kill_at && *task.kill_at <= kill_at)) return;
    task.kill_at = kill_at;
    task.destroy_at = kill_at + destroy_after;
    actions_.push_back(Stop{key, grace});
  }

  void cancel(Task& task) {
    task.waiting.reset();
    end(task, "stopped before it was started");
  }

  void end(Task& task, std::string error) {
    task.report.state = ProcessState::exited;
    task.report.error = std::move(error);
    task.kill_at.reset();
    task.destroy_at.reset();
    changed_ = true;
  }

  void drop(const TaskKey& key, Task& task, Duration grace) {
    if (std::exchange(task.unwanted, true) || ended(task)) return;
    if (task.waiting) return cancel(task);
    stop(key, task, grace);
  }

  void remove_dropped() {
    for (auto it = state_.tasks.begin(); it != state_.tasks.end();) {
      if (!it->second.unwanted || !ended(it->second)) {
        ++it;
        continue;
      }
      const TaskKey key = it->first;
      actions_.push_back(Remove{key});
      auto successor = std::move(it->second.waiting);
      it = state_.tasks.erase(it);
      if (!successor) continue;
      state_.tasks.emplace(key,
                           Task{.report = {.key = key}, .cluster = state_.cluster, .waiting = successor});
      spawn_waiting(key.task);
    }
  }

  void spawn_waiting(const TaskId& id) {
    for (const auto& [key, task] : state_.tasks) {
      if (key.task != id || !task.waiting || task.unwanted) continue;
      spawn_if_alone(key);
      return;
    }
  }

  void remember(const TaskKey& key, const std::string& cluster) {
    Newest& newest = state_.newest[key.task];
    if (newest.cluster != cluster) newest = {key.incarnation, cluster};
    newest.incarnation = std::max(newest.incarnation, key.incarnation);
    if (state_.newest.size() > remembered_max) state_.newest.erase(state_.newest.begin());
  }

  void say(std::string text) { actions_.push_back(Say{std::move(text)}); }

  State& state_;
  const Time now_;
  Actions actions_;
  bool changed_ = false;
};

}  // namespace

State make_state(NodeFacts facts, Instant now) {
  State state;
  state.facts = std::move(facts);
  state.alone_since = now.monotonic;
  return state;
}

Actions step(State& state, const Event& event, Instant now) { return Step(state, now).run(event); }

}  // namespace trainyard::executor
