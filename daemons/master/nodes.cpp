// What executors say, and what their silence means.
#include <algorithm>
#include <set>

#include "common/base/text.hpp"
#include "daemons/master/step.hpp"

namespace trainyard::master {

using protocol::ProcessState;

void Step::node_says(PeerId peer, const protocol::RegisterNode& message) {
  const auto refuse = [&](std::string reason, bool final) {
    say(format("node {} is refused: {}", message.node, reason));
    send(peer, protocol::Refused{std::move(reason), final});
  };
  if (message.version != protocol::version) {
    return refuse(
        format("it speaks version {} of the protocol, this master {}; install the same release on both",
               message.version, protocol::version),
        true);
  }
  Node& node = state_.nodes[message.node];
  if (node.peer && *node.peer != peer && node.session != message.session &&
      now_ - node.last_heard < state_.settings.unreachable_after) {
    return refuse(format("a node named '{}' is connected already; give one of them another executor.name",
                         message.node),
                  false);
  }
  if (node.peer && *node.peer != peer) {
    state_.node_peers.erase(*node.peer);
    actions_.push_back(Close{*node.peer});
  }
  if (!node.registered_at || node.state == NodeState::lost || node.session != message.session) {
    say(format("node {} is there: {}", message.node, text(message.capacity)));
  }
  node.peer = peer;
  node.session = message.session;
  node.address = message.address;
  node.capacity = message.capacity;
  node.labels = message.labels;
  node.gpu_models = message.gpu_models;
  node.state = NodeState::ready;
  node.last_heard = now_;
  node.last_heard_wall = wall_;
  node.registered_at = now_;
  state_.node_peers[peer] = message.node;
  const auto every = std::chrono::duration_cast<std::chrono::milliseconds>(state_.settings.heartbeat_every);
  send(peer, protocol::Registered{static_cast<std::uint64_t>(every.count()), state_.identity});
  reconcile(message.node, message.tasks);
  end_recovery_if_complete();
  schedule_wanted_ = true;
}

void Step::node_says(PeerId peer, const protocol::Heartbeat& message) {
  const auto it = state_.node_peers.find(peer);
  if (it == state_.node_peers.end() || it->second != message.node ||
      state_.nodes[message.node].session != message.session) {
    return send(peer, protocol::Refused{"this session is not registered", false});
  }
  Node& node = state_.nodes[message.node];
  node.last_heard = now_;
  node.last_heard_wall = wall_;
  if (node.state != NodeState::ready) {
    say(format("node {} is heard again", message.node));
    node.state = NodeState::ready;
    schedule_wanted_ = true;
  }
  reconcile(message.node, message.tasks);
}

void Step::node_says(PeerId peer, const protocol::LogChunk& message) {
  if (!state_.node_peers.contains(peer)) return;
  const auto it = state_.logs.find(message.request);
  if (it == state_.logs.end()) return;
  const LogQuestion question = it->second;
  state_.logs.erase(it);
  if (!message.error.empty()) return answer(question.request, Error{Errc::not_found, message.error});
  answer(question.request,
         LogText{question.task, question.error_stream, message.bytes, message.offset, message.end});
}

void Step::reconcile(const NodeName& node, const std::vector<protocol::TaskReport>& reports) {
  std::set<TaskKey> reported;
  for (const protocol::TaskReport& report : reports) {
    reported.insert(report.key);
    heard_of(node, report);
  }
  std::vector<std::pair<JobId, TaskId>> missing;
  for (const auto& [id, job] : state_.jobs) {
    if (has_ended(job.state)) continue;
    for (const auto& [task_id, task] : job.tasks) {
      if (task.node == node && alive(task) && !reported.contains({task_id, task.incarnation})) {
        missing.emplace_back(id, task_id);
      }
    }
  }
  for (const auto& [id, task_id] : missing) not_reported(node, id, task_id);
}

void Step::heard_of(const NodeName& node, const protocol::TaskReport& report) {
  Task* task = find_task(report.key);
  if (task == nullptr || task->node != node || !alive(*task)) return stray(node, report);
  task->seen = true;
  if (report.pid != 0) task->pid = report.pid;
  if (report.state != ProcessState::exited) {
    if (task->stop_asked && due(task->commanded, command_again_every)) stop_task(report.key.task, *task);
    return;
  }
  const bool good = report.error.empty() && report.signal == 0 && report.exit_code == 0;
  const bool asked = task->stop_asked.has_value() && report.error.empty();
  const std::string cause = asked && !good ? format("stopped with its gang on {}", node)
                                           : (good ? "" : cause_of(report.key.task, node, report));
  end_task(report.key.task, good || asked ? TaskEnd::done : TaskEnd::failed, cause, &report);
  send_to_node(node, protocol::ForgetTask{report.key});
}

void Step::stray(const NodeName& node, const protocol::TaskReport& report) {
  if (report.state == ProcessState::exited) {
    state_.strays.erase(report.key);
    send_to_node(node, protocol::ForgetTask{report.key});
    return;
  }
  const auto told = state_.strays.find(report.key);
  if (told != state_.strays.end() && !due(told->second, command_again_every)) return;
  if (told == state_.strays.end()) {
    say(format("{} runs incarnation {} of {} of job {}, which is over; it is stopped", node,
               number(report.key.incarnation), name(report.key.task), number(report.key.task.job)));
  }
  state_.strays[report.key] = now_;
  send_to_node(node, protocol::StopTask{report.key, 0});
}

void Step::not_reported(const NodeName& node, JobId id, const TaskId& task_id) {
  Job* job = find_job(id);
  if (job == nullptr || !job->tasks.contains(task_id)) return;
  Task& task = job->tasks.at(task_id);
  if (!alive(task)) return;
  if (task.seen) {
    // Its executor knows all its tasks in full, so this one is gone: another machine, or another disk.
    return end_task(
        task_id, TaskEnd::lost,
        format("{} on {} is gone: its executor does not know it any more (was the machine restarted?)",
               name(task_id), node));
  }
  if (job->state == JobState::stopping) {
    if (task.stop_asked && now_ - *task.stop_asked >= never_started_after) {
      return end_task(task_id, TaskEnd::done, "stopped before it was started");
    }
    if (!task.stop_asked || due(task.commanded, command_again_every)) stop_task(task_id, task);
    return;
  }
  if (due(task.commanded, command_again_every)) launch(id, *job, task_id);
}

void Step::watch_nodes() {
  const Settings& settings = state_.settings;
  std::vector<NodeName> silent;
  std::size_t known = 0;
  for (auto& [name, node] : state_.nodes) {
    if (node.state == NodeState::lost) continue;
    ++known;
    const Duration silence = now_ - node.last_heard;
    if (node.state == NodeState::ready && silence > settings.unreachable_after) {
      node.state = NodeState::unreachable;
      say(format("node {} is not heard for {}; nothing new is placed there", name,
                 duration_text(settings.unreachable_after)));
    }
    const Duration patience =
        node.registered_at ? settings.lost_after : std::max(settings.lost_after, settings.recovery_grace);
    if (silence > patience) silent.push_back(name);
  }
  // Most nodes silent at once means that it is the master that is cut off: their tasks may well be alive.
  const bool mass_loss = known >= 3 && silent.size() * 2 > known;
  for (const NodeName& name : silent) {
    if (mass_loss && now_ - state_.nodes[name].last_heard < 4 * settings.lost_after) continue;
    lose(name);
  }
  if (state_.recovering_until && now_ >= *state_.recovering_until) {
    state_.recovering_until.reset();
    say("the grace after the restart is over");
  }
}

void Step::lose(const NodeName& node_name) {
  Node& node = state_.nodes[node_name];
  node.state = NodeState::lost;
  say(format("node {} is lost; its tasks start elsewhere", node_name));
  std::vector<TaskId> gone;
  for (const auto& [id, job] : state_.jobs) {
    for (const auto& [task_id, task] : job.tasks) {
      if (task.node == node_name && alive(task)) gone.push_back(task_id);
    }
  }
  for (const TaskId& task : gone) {
    end_task(task, TaskEnd::lost,
             format("{} is lost with node {}, which was not heard for {}", name(task), node_name,
                    duration_text(std::chrono::duration_cast<std::chrono::seconds>(now_ - node.last_heard))));
  }
}

void Step::end_recovery_if_complete() {
  if (!state_.recovering_until) return;
  for (const auto& [name, node] : state_.nodes) {
    if (!node.registered_at) return;
  }
  state_.recovering_until.reset();
  say("all nodes with tasks are back");
}

std::string cause_of(const TaskId& task, const NodeName& node, const protocol::TaskReport& report) {
  std::string what = format("{} on {} ", name(task), node);
  if (!report.error.empty()) return what + "could not be started: " + report.error;
  if (report.signal != 0) {
    const char* hint = report.signal == 9    ? " (SIGKILL: by hand, or by the kernel for want of memory)"
                       : report.signal == 11 ? " (SIGSEGV)"
                       : report.signal == 6  ? " (SIGABRT)"
                                             : "";
    return what + format("was killed by signal {}{}", report.signal, hint);
  }
  what += format("exited with code {}", report.exit_code);
  if (report.last_lines.empty()) return what;
  // Without the time, level and daemon of our own log lines.
  std::string line = report.last_lines.back();
  if (const auto error = line.find(" error "); error != std::string::npos && error < 30) {
    const auto colon = line.find(": ", error);
    if (colon != std::string::npos) line = line.substr(colon + 2);
  }
  return what + ": " + line;
}

}  // namespace trainyard::master
