#include "daemons/master/state.hpp"

#include <algorithm>

#include "common/base/text.hpp"

namespace trainyard::master {

namespace {

void tell(Job& job, WallMillis at, std::string kind, std::string text, const std::string& task = "") {
  if (job.events.size() < events_max) job.events.push_back({at, std::move(kind), std::move(text), task});
}

std::string nodes_text(const std::vector<Placed>& tasks) {
  std::map<NodeName, std::vector<std::string>> by_node;
  for (const Placed& placed : tasks) by_node[placed.node].push_back(name(placed.task));
  std::vector<std::string> parts;
  for (const auto& [node, names] : by_node) parts.push_back(format("{} on {}", join(names, ", "), node));
  return join(parts, "; ");
}

class Fold {
 public:
  explicit Fold(State& state) : state_(state) {}

  void operator()(const ClusterFounded& r) { state_.identity = r.identity; }
  void operator()(const IdsUsed& r) { state_.next_job = std::max(state_.next_job, r.next); }

  void operator()(const JobAccepted& r) {
    Job job;
    job.order = r.order;
    job.secret = r.secret;
    job.submitted = r.at;
    tell(job, r.at, "submitted", format("'{}' was submitted", r.order.name));
    state_.jobs.insert_or_assign(r.job, std::move(job));
    state_.next_job = std::max(state_.next_job, number(r.job) + 1);
  }
  void operator()(const JobForgotten& r) { state_.jobs.erase(r.job); }

  template <typename R>
  void operator()(const R& r) {
    const auto it = state_.jobs.find(job_of(r));
    if (it != state_.jobs.end()) apply(it->second, r);
  }

 private:
  void apply(Job& job, const GangPlaced& r) {
    job.state = JobState::starting;
    job.stop = Stop::none;
    job.incarnation = r.incarnation;
    job.tasks.clear();
    job.epoch = 0;
    job.owners.clear();
    for (const Placed& placed : r.tasks) {
      Task task;
      task.incarnation = r.incarnation;
      task.node = placed.node;
      task.gpus = placed.gpus;
      for (const RoleOrder& role : job.order.roles) {
        if (role.role == placed.task.role) task.granted = role.each;
      }
      job.tasks.emplace(placed.task, std::move(task));
    }
    tell(job, r.at, "placed", format("placed: {}", nodes_text(r.tasks)));
  }

  void apply(Job& job, const GangComplete& r) {
    if (r.incarnation != job.incarnation) return;
    for (auto& [id, task] : job.tasks) {
      if (const auto it = r.addresses.find(id); it != r.addresses.end()) task.address = it->second;
      if (!has_ended(task.state)) task.state = TaskState::running;
    }
    if (job.state == JobState::starting) {
      job.state = JobState::running;
      job.cause.clear();  // of the stop before; the events keep it
    }
    if (job.started == 0) job.started = r.at;
    tell(job, r.at, "running",
         job.checkpoint ? format("the gang is complete and goes on from step {}", job.checkpoint->step)
                        : format("the gang is complete: {} tasks found each other", job.tasks.size()));
  }

  void apply(Job& job, const FirstStepDone& r) {
    if (job.first_step != 0) return;
    job.first_step = r.at;
    tell(job, r.at, "first_step", "the first training step is done");
  }

  void apply(Job& job, const EpochDone& r) {
    // A new life repeats the epochs after its checkpoint; what they gave the first time is replaced.
    std::erase_if(job.history, [&](const EpochRow& row) { return row.epoch >= r.epoch; });
    if (job.history.size() < history_max) job.history.push_back({r.epoch, r.step, r.metrics});
  }

  void apply(Job& job, const RecordsSkipped& r) {
    job.skipped_count += r.count;
    for (const std::string& one : r.named) {
      if (job.skipped.size() < skipped_max) job.skipped.push_back(one);
    }
    tell(job, r.at, "skipped",
         format("{} bad record{} skipped: {}{}", r.count, r.count == 1 ? " was" : "s were",
                r.named.empty() ? "" : r.named.front(), r.named.size() > 1 ? ", ..." : ""));
  }

  void apply(Job& job, const CheckpointCommitted& r) {
    if (job.checkpoint && job.checkpoint->step >= r.step) return;
    job.checkpoint = Checkpoint{r.step, r.epoch, r.directory};
    job.checkpoint_fails = false;
    tell(job, r.at, "checkpoint", format("checkpoint at step {}", r.step));
  }

  void apply(Job& job, const CheckpointLost& r) {
    job.checkpoint_fails = true;
    tell(job, r.at, "checkpoint_failed",
         format("no checkpoint at step {}: {} could not write it: {}", r.step, name(r.task), r.cause),
         name(r.task));
  }

  void apply(Job& job, const TrainerFinished& r) {
    const auto it = job.tasks.find(r.key.task);
    if (it == job.tasks.end() || it->second.incarnation != r.key.incarnation) return;
    it->second.finished = true;
    if (r.key.task.index != 0) return;
    job.result = r.metrics;
    tell(job, r.at, "finished", r.stopped ? "training was stopped and saved" : "training is done");
  }

  void apply(Job& job, const StopDecided& r) {
    // A stop for good stands against one for a while, never the other way round.
    if (job.stop >= r.stop && job.stop != Stop::none) return;
    job.stop = r.stop;
    job.cause = r.cause;
    job.state = JobState::stopping;
    for (const TaskId& task : r.blamed) ++job.failures[task];
    const char* kind = r.stop == Stop::restart  ? "restarting"
                       : r.stop == Stop::cancel ? "cancelling"
                       : r.stop == Stop::fail   ? "failing"
                                                : "pausing";
    // Why it restarts was mostly told already, by the task that failed.
    const bool told = r.stop == Stop::restart && !job.events.empty() && job.events.back().text == r.cause;
    tell(job, r.at, kind, told ? "the gang is stopped, to start again together" : r.cause);
  }

  void apply(Job& job, const TaskEnded& r) {
    const auto it = job.tasks.find(r.key.task);
    if (it == job.tasks.end() || it->second.incarnation != r.key.incarnation) return;
    Task& task = it->second;
    if (has_ended(task.state)) return;
    task.state = r.end == TaskEnd::done     ? TaskState::done
                 : r.end == TaskEnd::failed ? TaskState::failed
                                            : TaskState::lost;
    if (r.pid != 0) task.pid = r.pid;
    task.exit_code = r.exit_code;
    task.signal = r.signal;
    task.memory_peak = r.memory_peak;
    task.cause = r.cause;
    task.last_lines = r.last_lines;
    if (r.end != TaskEnd::done) tell(job, r.at, "task_failed", r.cause, name(r.key.task));
  }

  void apply(Job& job, const ShardMoved& r) {
    job.epoch = r.epoch;
    job.owners[shard_of(job, r.lost)] = r.owner;
    tell(job, r.at, "shard_moved",
         follows(job, r.lost) ? format("{} goes on without its follower {}", name(r.owner), name(r.lost))
                              : format("{} takes over from {}", name(r.owner), name(r.lost)),
         name(r.lost));
  }

  void apply(Job& job, const GangDissolved& r) {
    if (job.stop == Stop::restart) ++job.restarts;
    job.stop = Stop::none;
    job.state = JobState::pending;
    tell(job, r.at, "waiting",
         job.checkpoint ? format("starts again from step {}", job.checkpoint->step)
                        : "starts again from the beginning");
  }

  void apply(Job& job, const JobEnded& r) {
    job.state = r.end == JobEnd::succeeded ? JobState::succeeded
                : r.end == JobEnd::failed  ? JobState::failed
                                           : JobState::cancelled;
    job.stop = Stop::none;
    job.cause = r.cause;
    job.ended = r.at;
    const char* kinds[] = {"succeeded", "failed", "cancelled"};
    tell(job, r.at, kinds[static_cast<int>(r.end)], r.cause.empty() ? "succeeded" : r.cause);
  }

  template <typename R>
  void apply(Job&, const R&) {}

  State& state_;
};

}  // namespace

void fold(State& state, const Record& record) { std::visit(Fold(state), record); }

std::uint32_t shards_of(const Job& job) {
  for (const RoleOrder& role : job.order.roles) {
    if (role.role == Role::ps) return role.count / (1 + job.order.replicas);
  }
  return 0;
}

std::uint32_t shard_of(const Job& job, const TaskId& task) {
  const std::uint32_t shards = shards_of(job);
  return shards == 0 ? 0 : task.index % shards;
}

bool follows(const Job& job, const TaskId& task) {
  return task.role == Role::ps && task.index >= shards_of(job);
}

TaskId owner_of(const Job& job, JobId id, std::uint32_t shard) {
  const auto it = job.owners.find(shard);
  return it != job.owners.end() ? it->second : TaskId{id, Role::ps, shard};
}

bool has_ended(JobState state) { return state >= JobState::succeeded; }
bool has_ended(TaskState state) { return state >= TaskState::done; }

const char* name(JobState state) {
  constexpr const char* names[] = {"PENDING",   "STARTING", "RUNNING",  "STOPPING",
                                   "SUCCEEDED", "FAILED",   "CANCELLED"};
  return names[static_cast<int>(state)];
}

const char* name(TaskState state) {
  constexpr const char* names[] = {"PENDING", "STARTING", "READY", "RUNNING", "DONE", "FAILED", "LOST"};
  return names[static_cast<int>(state)];
}

const char* name(NodeState state) {
  constexpr const char* names[] = {"READY", "UNREACHABLE", "LOST"};
  return names[static_cast<int>(state)];
}

protocol::ResourceSet free_on(const State& state, const NodeName& node) {
  const auto it = state.nodes.find(node);
  if (it == state.nodes.end()) return {};
  protocol::ResourceSet free = it->second.capacity;
  const auto take = [](auto& left, auto amount) {
    left -= std::min<std::decay_t<decltype(left)>>(left, amount);
  };
  for (const auto& [id, job] : state.jobs) {
    if (has_ended(job.state)) continue;
    for (const auto& [task_id, task] : job.tasks) {
      if (task.node != node || has_ended(task.state)) continue;
      take(free.cpu_millis, task.granted.cpu_millis);
      take(free.memory, task.granted.memory);
      take(free.gpus, task.granted.gpus);
    }
  }
  return free;
}

}  // namespace trainyard::master
