// What tasks say: registration, partitions, checkpoints, progress, the end.
#include <algorithm>

#include "common/base/text.hpp"
#include "daemons/master/step.hpp"

namespace trainyard::master {

void Step::task_says(PeerId peer, const protocol::RegisterTask& message) {
  Job* job = find_job(message.key.task.job);
  Task* task = find_task(message.key);
  const auto refuse = [&](const char* reason) {
    send(peer, protocol::Refused{reason, true});
    actions_.push_back(Close{peer});
  };
  if (task == nullptr) return refuse("this life of the task is over");
  if (job->secret != message.secret) return refuse("wrong secret");
  if (!alive(*task)) return refuse("this life of the task has ended");
  if (task->peer && *task->peer != peer) state_.task_peers.erase(*task->peer);
  task->peer = peer;
  state_.task_peers[peer] = message.key.task;
  if (message.pid != 0 && task->pid == 0) task->pid = message.pid;
  const JobId id = message.key.task.job;
  if (task->state == TaskState::running) {
    send_roster(id, *job, peer);  // it lost us, or we were restarted
    if (job->state == JobState::stopping && job->gentle && message.key.task.role == Role::trainer) {
      send(peer, protocol::StopTraining{job->cause});
    }
    for (const auto& [step, parts] : job->parts) commit_if_whole(id, *job, step);
    if (job->part_failed && message.key.task == chief_of(id)) send(peer, *job->part_failed);
    return dismiss_if_done(id, *job);
  }
  task->address = message.address;
  task->state = TaskState::ready;
  complete_if_all_registered(id, *job);
}

void Step::complete_if_all_registered(JobId id, Job& job) {
  if (job.state != JobState::starting) return;
  GangComplete complete{id, job.incarnation, {}, wall_};
  for (const auto& [task_id, task] : job.tasks) {
    if (task.state != TaskState::ready) return;
    complete.addresses.emplace(task_id, task.address);
  }
  remember(std::move(complete));
  for (const auto& [task_id, task] : job.tasks) {
    if (task.peer) send_roster(id, job, *task.peer);
  }
}

void Step::send_roster(JobId id, Job& job, PeerId peer) {
  protocol::Roster roster;
  roster.epoch = job.epoch;
  for (const auto& [task_id, task] : job.tasks) {
    if (task_id.role == Role::ps && !alive(task)) continue;  // another has its shard
    const bool serves = task_id.role != Role::ps || owner_of(job, id, shard_of(job, task_id)) == task_id;
    roster.members.push_back({task_id, task.address, task.node, !serves});
  }
  if (job.checkpoint) {
    roster.resume_step = job.checkpoint->step;
    roster.resume_epoch = job.checkpoint->epoch;
    roster.resume_directory = job.checkpoint->directory;
  }
  send(peer, std::move(roster));
}

Task* Step::speaker(PeerId peer, const protocol::TaskKey& key) {
  const auto it = state_.task_peers.find(peer);
  Task* task = find_task(key);
  if (it != state_.task_peers.end() && it->second == key.task && task != nullptr && task->peer == peer &&
      alive(*task)) {
    return task;
  }
  send(peer, protocol::Refused{"this life of the task is over", true});
  actions_.push_back(Close{peer});
  return nullptr;
}

void Step::task_says(PeerId peer, const protocol::Progress& message) {
  if (speaker(peer, message.key) == nullptr) return;
  const JobId id = message.key.task.job;
  Job& job = *find_job(id);
  if (message.phase == "train" || message.phase == "serve")
    job.told.insert_or_assign(message.key.task, Told{message.step, message.metrics});
  if (message.key.task.role != Role::trainer) return;
  if (message.step > 0 && job.first_step == 0) remember(FirstStepDone{id, wall_});
  if (message.key.task != chief_of(id)) return;
  job.progress = message;
  const bool epoch_ended = message.metrics.contains("train/loss") && message.phase == "evaluate";
  if (!epoch_ended) return;
  // Told again after a reconnect.
  const bool known = std::any_of(job.history.begin(), job.history.end(), [&](const EpochRow& row) {
    return row.epoch == message.epoch && row.step == message.step && row.metrics == message.metrics;
  });
  if (!known) remember(EpochDone{id, message.epoch, message.step, message.metrics});
}

void Step::task_says(PeerId peer, const protocol::RequestPartition& message) {
  if (speaker(peer, message.key) == nullptr) return;
  const protocol::Partition partition{message.epoch, message.index, message.key.task.index};
  const Ledger::Lease lease =
      find_job(message.key.task.job)->ledger.lease(partition, message.key.incarnation);
  if (lease == Ledger::Lease::granted || lease == Ledger::Lease::again) {
    return send(peer, protocol::GrantPartition{partition});
  }
  say(format("{} of job {} asks for partition {} of epoch {}, which it has used; not granted",
             name(message.key.task), number(message.key.task.job), message.index, message.epoch));
}

void Step::task_says(PeerId peer, const protocol::PartitionDone& message) {
  if (speaker(peer, message.key) == nullptr) return;
  const JobId id = message.key.task.job;
  Job& job = *find_job(id);
  if (message.partition.rank != message.key.task.index) return;
  if (!job.ledger.done(message.partition, message.key.incarnation, message.samples)) return;
  std::vector<std::string> fresh;  // a bad file is met again in every epoch
  for (const std::string& one : message.bad) {
    if (job.skipped.size() + fresh.size() < skipped_max &&
        std::find(job.skipped.begin(), job.skipped.end(), one) == job.skipped.end()) {
      fresh.push_back(one);
    }
  }
  if (fresh.empty()) return;
  const auto count = static_cast<std::uint32_t>(fresh.size());
  remember(RecordsSkipped{id, count, std::move(fresh), wall_});
}

void Step::task_says(PeerId peer, const protocol::CheckpointPart& message) {
  if (speaker(peer, message.key) == nullptr) return;
  const JobId id = message.key.task.job;
  Job& job = *find_job(id);
  if (job.checkpoint && message.step <= job.checkpoint->step) return;
  constexpr std::size_t open_max = 4;
  job.parts[message.step].insert_or_assign(message.key.task, message);
  if (job.parts.size() > open_max) job.parts.erase(job.parts.begin());
  commit_if_whole(id, job, message.step);
}

void Step::commit_if_whole(JobId id, Job& job, std::uint64_t at_step) {
  const auto it = job.parts.find(at_step);
  const auto chief = job.tasks.find(chief_of(id));
  if (it == job.parts.end() || chief == job.tasks.end() || !chief->second.peer) return;
  const auto part_of_chief = it->second.find(chief->first);
  if (part_of_chief == it->second.end()) return;
  std::vector<protocol::CheckpointPart> parts{part_of_chief->second};
  // Of a shard that moved meanwhile the one before may have written it, with the same bytes.
  for (std::uint32_t shard = 0; shard < shards_of(job); ++shard) {
    const auto part = std::find_if(it->second.begin(), it->second.end(), [&](const auto& item) {
      return item.first.role == Role::ps && shard_of(job, item.first) == shard;
    });
    if (part == it->second.end()) return;
    parts.push_back(part->second);
  }
  send(*chief->second.peer, protocol::CommitCheckpoint{at_step, std::move(parts)});
}

void Step::task_says(PeerId peer, const protocol::CheckpointFailed& message) {
  if (speaker(peer, message.key) == nullptr) return;
  const JobId id = message.key.task.job;
  Job& job = *find_job(id);
  if (job.checkpoint && message.step <= job.checkpoint->step) return;
  const auto chief = job.tasks.find(chief_of(id));
  job.parts.erase(message.step);
  if (message.key.task != chief_of(id)) {
    job.part_failed = message;
    if (chief != job.tasks.end() && chief->second.peer) send(*chief->second.peer, message);
  }
  // A disk stays full for a while; once is enough until a checkpoint succeeds.
  if (!job.checkpoint_fails)
    remember(CheckpointLost{id, message.step, message.key.task, message.reason, wall_});
}

void Step::task_says(PeerId peer, const protocol::CheckpointWritten& message) {
  if (speaker(peer, message.key) == nullptr) return;
  const JobId id = message.key.task.job;
  if (message.key.task != chief_of(id)) return;
  Job& job = *find_job(id);
  std::erase_if(job.parts, [&](const auto& item) { return item.first <= message.step; });
  if (job.part_failed && job.part_failed->step <= message.step) job.part_failed.reset();
  if (job.checkpoint && job.checkpoint->step >= message.step) return;
  remember(CheckpointCommitted{id, message.step, message.epoch, message.directory, wall_});
}

void Step::task_says(PeerId peer, const protocol::Finished& message) {
  Task* task = speaker(peer, message.key);
  if (task == nullptr) return;
  const JobId id = message.key.task.job;
  if (!task->finished) remember(TrainerFinished{message.key, message.metrics, message.stopped, wall_});
  dismiss_if_done(id, *find_job(id));
}

}  // namespace trainyard::master
