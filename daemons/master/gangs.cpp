// The life of a gang: placement, launch, failure, stop, end.
#include <algorithm>
#include <tuple>

#include "common/base/text.hpp"
#include "daemons/master/step.hpp"

namespace trainyard::master {

namespace {

constexpr std::uint64_t restart_grace_ms = 2000;  // nothing is left to be saved
constexpr Duration pause_max = 30s;

/// The first new start is at once; what keeps failing waits longer each time.
Duration pause_before(std::uint32_t restarts) {
  if (restarts < 2) return 0s;
  return std::min<Duration>(std::chrono::seconds(1ull << std::min(restarts - 2, 10u)), pause_max);
}

}  // namespace

std::vector<Offer> Step::offers(bool empty) const {
  std::map<NodeName, Offer> by_node;
  for (const auto& [name, node] : state_.nodes) {
    const bool usable = node.state == NodeState::ready && node.peer && node.registered_at;
    if (!usable && !(empty && node.registered_at)) continue;
    Offer offer{name, node.capacity, {}, node.labels};
    for (std::uint32_t gpu = 0; gpu < node.capacity.gpus; ++gpu) offer.gpus.insert(gpu);
    if (!empty) offer.free = free_on(state_, name);
    by_node.emplace(name, std::move(offer));
  }
  if (!empty) {
    for (const auto& [id, job] : state_.jobs) {
      for (const auto& [task_id, task] : job.tasks) {
        const auto it = by_node.find(task.node);
        if (it == by_node.end() || !alive(task)) continue;
        for (const std::uint32_t gpu : task.gpus) it->second.gpus.erase(gpu);
      }
    }
  }
  std::vector<Offer> all;
  for (auto& [name, offer] : by_node) all.push_back(std::move(offer));
  return all;
}

void Step::schedule() {
  schedule_wanted_ = false;
  if (state_.closing) return;
  std::vector<JobId> waiting;
  for (const auto& [id, job] : state_.jobs) {
    if (job.state == JobState::pending) waiting.push_back(id);
  }
  std::stable_sort(waiting.begin(), waiting.end(), [&](JobId a, JobId b) {
    return state_.jobs.at(a).order.priority > state_.jobs.at(b).order.priority;
  });
  for (const JobId id : waiting) {
    Job& job = state_.jobs.at(id);
    if (!job.waiting_since) job.waiting_since = now_;
    if (state_.recovering_until) {
      job.pending_reason = "the master was restarted and waits for its nodes";
      continue;
    }
    if (job.not_before && now_ < *job.not_before) {
      job.pending_reason = "pauses before it starts again";
      continue;
    }
    const std::vector<Offer> free = offers(false);
    std::variant<std::vector<Placed>, NoRoom> plan =
        NoRoom{"no executor is connected; start trainyard-executor on a node"};
    if (!free.empty()) plan = place(id, job.order, free);
    if (const auto* none = std::get_if<NoRoom>(&plan)) {
      job.pending_reason = none->reason;
      if (now_ - *job.waiting_since > backfill_max) break;
      continue;
    }
    job.pending_reason.clear();
    job.waiting_since.reset();
    job.not_before.reset();
    job.dismissed_at.reset();
    job.stopping_since.reset();
    job.gentle = false;
    job.parts.clear();
    job.told.clear();
    job.part_failed.reset();
    job.placed_at = now_;
    remember(GangPlaced{id, next(job.incarnation), std::get<std::vector<Placed>>(std::move(plan)), wall_});
    std::vector<TaskId> tasks;
    for (const auto& [task_id, task] : job.tasks) tasks.push_back(task_id);
    for (const TaskId& task_id : tasks) launch(id, job, task_id);
  }
}

void Step::launch(JobId, Job& job, const TaskId& task_id) {
  Task& task = job.tasks.at(task_id);
  protocol::LaunchTask message{.key = {task_id, task.incarnation},
                               .job_yaml = job.order.yaml,
                               .job_name = job.order.name,
                               .granted = task.granted,
                               .gpus = task.gpus,
                               .checkpoint_dir = job.order.checkpoint_dir,
                               .output_dir = job.order.output_dir,
                               .secret = job.secret};
  for (const RoleOrder& role : job.order.roles) message.gang[name(role.role)] = role.count;
  task.commanded = now_;
  send_to_node(task.node, std::move(message));
}

void Step::begin_stop(JobId id, Stop stop, const std::string& cause, std::vector<TaskId> blamed) {
  Job& job = *find_job(id);
  const bool was_running = job.state == JobState::running;
  const bool hard_already = job.state == JobState::stopping && !job.gentle;
  remember(StopDecided{id, stop, cause, std::move(blamed), wall_});
  job.stopping_since = now_;
  job.gentle = was_running && !hard_already && (stop == Stop::cancel || stop == Stop::pause);
  if (!job.gentle) {
    stop_hard(id, job);
  } else {
    for (const auto& [task_id, task] : job.tasks) {
      if (task_id.role == Role::trainer && task.peer) send(*task.peer, protocol::StopTraining{cause});
    }
  }
  settle(id);
}

void Step::stop_hard(JobId, Job& job) {
  job.gentle = false;
  for (auto& [task_id, task] : job.tasks) {
    if (alive(task)) stop_task(task_id, task);
  }
}

void Step::stop_task(const TaskId& task_id, Task& task) {
  if (!task.stop_asked) task.stop_asked = now_;
  task.commanded = now_;
  send_to_node(task.node, protocol::StopTask{{task_id, task.incarnation}, restart_grace_ms});
}

void Step::end_task(const TaskId& task_id, TaskEnd end, const std::string& cause,
                    const protocol::TaskReport* report) {
  const JobId id = task_id.job;
  Task& task = find_job(id)->tasks.at(task_id);
  TaskEnded record{
      .key = {task_id, task.incarnation}, .end = end, .cause = cause, .at = wall_, .pid = task.pid};
  if (report != nullptr) {
    record.exit_code = report->exit_code;
    record.signal = report->signal;
    record.memory_peak = report->memory_peak;
    record.last_lines = report->last_lines;
  }
  remember(std::move(record));
  consider_end(id, task_id);
  schedule_wanted_ = true;
}

void Step::consider_end(JobId id, const TaskId& task_id) {
  Job& job = *find_job(id);
  const Task& task = job.tasks.at(task_id);
  const auto chief = job.tasks.find(chief_of(id));
  const bool work_done = chief != job.tasks.end() && chief->second.finished;
  if (job.stop == Stop::none && !work_done && !has_ended(job.state) && !move_shard(id, task_id)) {
    const bool hopeless = task.exit_code == 2 || task.exit_code == 5;
    if (task.state == TaskState::failed) {
      fail_or_restart(id, {task_id}, task.cause, hopeless && task.signal == 0);
    } else if (task.state == TaskState::lost) {
      fail_or_restart(id, {}, task.cause, false);
    } else if (task_id.role != Role::trainer || job.state == JobState::starting) {
      fail_or_restart(id, {task_id},
                      format("{} on {} ended before the training did", name(task_id), task.node), false);
    } else if (!task.finished) {
      // It did all its steps and its last words were lost, as when the master was away at that moment.
      remember(TrainerFinished{{task_id, task.incarnation}, {}, false, wall_});
    }
  }
  // Without one of its members the gang cannot save itself any more.
  if (job.gentle && !work_done && task.state != TaskState::done) stop_hard(id, job);
  dismiss_if_done(id, job);
  settle(id);
}

bool Step::move_shard(JobId id, const TaskId& lost) {
  Job& job = *find_job(id);
  if (lost.role != Role::ps || job.order.replicas == 0 || job.state != JobState::running) return false;
  const std::uint32_t shard = shard_of(job, lost);
  for (const auto& [task_id, task] : job.tasks) {
    if (task_id.role != Role::ps || task_id == lost || shard_of(job, task_id) != shard || !alive(task))
      continue;
    remember(ShardMoved{id, lost, task_id, job.epoch + 1, wall_});
    for (const auto& [each_id, each] : job.tasks) {
      if (alive(each) && each.peer) send_roster(id, job, *each.peer);
    }
    return true;
  }
  return false;
}

void Step::fail_or_restart(JobId id, std::vector<TaskId> blamed, const std::string& cause, bool hopeless) {
  Job& job = *find_job(id);
  std::uint32_t worst = 0;
  for (const TaskId& task : blamed) {
    const auto before = job.failures.find(task);
    worst = std::max(worst, before == job.failures.end() ? 1u : before->second + 1);
  }
  if (hopeless) return begin_stop(id, Stop::fail, cause, std::move(blamed));
  if (worst > job.order.restarts) {
    const std::string often =
        worst > 1 ? format(" (failure {} of this task; {} restarts are allowed)", worst, job.order.restarts)
                  : " (no restarts are allowed)";
    return begin_stop(id, Stop::fail, cause + often, std::move(blamed));
  }
  begin_stop(id, Stop::restart, cause, std::move(blamed));
}

void Step::dismiss_if_done(JobId id, Job& job) {
  if (has_ended(job.state)) return;
  bool trainers_done = true;
  for (const auto& [task_id, task] : job.tasks) {
    if (task_id.role == Role::trainer && alive(task) && !task.finished) trainers_done = false;
  }
  const auto chief = job.tasks.find(chief_of(id));
  if (!trainers_done || chief == job.tasks.end() || !chief->second.finished) return;
  if (!job.dismissed_at) job.dismissed_at = now_;
  for (const auto& [task_id, task] : job.tasks) {
    if (task_id.role == Role::ps && alive(task) && task.peer) send(*task.peer, protocol::Dismiss{});
  }
}

void Step::settle(JobId id) {
  Job& job = *find_job(id);
  if (has_ended(job.state) || job.state == JobState::pending || any_alive(job)) return;
  const auto chief = job.tasks.find(chief_of(id));
  const bool finished = chief != job.tasks.end() && chief->second.finished;
  const std::string saved = job.checkpoint ? format("; saved at step {}", job.checkpoint->step) : "";
  switch (job.stop) {
    case Stop::none:
      if (finished) end_job(id, JobEnd::succeeded, "");
      return;
    case Stop::restart:
    case Stop::pause:
      job.not_before = now_ + (job.stop == Stop::restart ? pause_before(job.restarts + 1) : 0s);
      remember(GangDissolved{id, wall_});
      schedule_wanted_ = true;
      return;
    case Stop::cancel:
      return end_job(id, JobEnd::cancelled, job.cause + saved);
    case Stop::fail:
      return end_job(id, JobEnd::failed, job.cause);
  }
}

void Step::end_job(JobId id, JobEnd end, const std::string& cause) {
  remember(JobEnded{id, end, cause, wall_});
  const Job& job = *find_job(id);
  say(format("job {} '{}' {}{}{}", number(id), job.order.name, name(job.state), cause.empty() ? "" : ": ",
             cause));
  schedule_wanted_ = true;
  std::vector<std::pair<WallMillis, JobId>> ended;
  for (const auto& [other, one] : state_.jobs) {
    if (has_ended(one.state)) ended.emplace_back(one.ended, other);
  }
  if (ended.size() <= state_.settings.jobs_kept) return;
  std::sort(ended.begin(), ended.end());
  for (std::size_t i = 0; i + state_.settings.jobs_kept < ended.size(); ++i)
    remember(JobForgotten{ended[i].second});
}

void Step::watch_jobs() {
  std::vector<JobId> open;
  for (const auto& [id, job] : state_.jobs) {
    if (!has_ended(job.state)) open.push_back(id);
  }
  for (const JobId id : open) {
    Job& job = *find_job(id);
    const auto& limit = job.order.time_limit_ms;
    if (limit > 0 && job.started > 0 && job.stop == Stop::none && any_alive(job) &&
        wall_ - job.started > static_cast<WallMillis>(limit)) {
      begin_stop(id, Stop::fail,
                 format("the time limit of {} is over", duration_text(std::chrono::milliseconds(limit))));
    } else if (job.state == JobState::starting && !state_.recovering_until && job.placed_at &&
               now_ - *job.placed_at > state_.settings.register_within) {
      std::vector<TaskId> silent;
      std::vector<std::string> names;
      for (const auto& [task_id, task] : job.tasks) {
        if (task.state != TaskState::starting) continue;
        silent.push_back(task_id);
        names.push_back(format("{} on {} ({})", name(task_id), task.node,
                               task.seen ? "its process runs" : "its node did not start it"));
      }
      fail_or_restart(id, silent,
                      format("not registered within {}: {}", duration_text(state_.settings.register_within),
                             join(names, ", ")),
                      false);
    } else if (job.state == JobState::stopping && job.gentle && job.stopping_since &&
               now_ - *job.stopping_since > gentle_stop_max) {
      stop_hard(id, job);
    } else if (job.dismissed_at && any_alive(job) && now_ - *job.dismissed_at > dismissed_max) {
      for (auto& [task_id, task] : job.tasks) {
        if (alive(task) && due(task.commanded, command_again_every)) stop_task(task_id, task);
      }
    } else if (job.state == JobState::stopping && !job.gentle) {
      for (auto& [task_id, task] : job.tasks) {
        if (alive(task) && !task.stop_asked) stop_task(task_id, task);
      }
    }
  }
}

}  // namespace trainyard::master
