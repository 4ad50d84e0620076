// The model of a job's tasks: what real trainers and shards say to the master, and when; no tensors.
#include "common/base/text.hpp"
#include "tests/sim/world.hpp"

namespace trainyard::sim {

namespace {

constexpr std::uint64_t steps = 400, steps_per_epoch = 40, steps_per_partition = 5, save_every = 37;

std::pair<std::uint64_t, std::uint32_t> gang_of(const TaskKey& key) {
  return {number(key.task.job), number(key.incarnation)};
}

protocol::Partition partition_of(std::uint64_t step, std::uint32_t rank) {
  const std::uint64_t epoch = (step - 1) / steps_per_epoch;
  return {epoch, static_cast<std::uint32_t>((step - 1) % steps_per_epoch / steps_per_partition), rank};
}

/// One part in twenty cannot be written; which ones, only the step and the member say.
bool part_fails(const TaskKey& key, std::uint64_t step) {
  return mix(step, number(key.task.job), number(key.incarnation), key.task.role, key.task.index) % 20 == 0;
}

}  // namespace

Process* World::find(const NodeName& name, const TaskKey& key) {
  auto& processes = nodes_.at(name).processes;
  const auto it = processes.find(key);
  return it == processes.end() ? nullptr : &it->second;
}

void World::connect_task(const NodeName& name, const TaskKey& key) {
  Process* process = find(name, key);
  if (process == nullptr || process->link || process->done) return;
  if (!master_ || cut(name)) return at(200ms, [this, name, key] { connect_task(name, key); });
  process->link = open_link(name, key);
  send_up(*process->link, protocol::RegisterTask{key, process->launch.secret, "127.0.0.1:1", process->pid});
  for (const auto& message : process->unanswered) send_up(*process->link, message);
}

void World::task_says(Process& process, const protocol::Message& message, bool again) {
  if (again) {
    process.unanswered.push_back(message);
    if (process.unanswered.size() > 64) process.unanswered.erase(process.unanswered.begin());
  }
  if (process.link) send_up(*process.link, message);
}

void World::task_hears(const NodeName& name, const TaskKey& key, const protocol::Message& message) {
  Process* process = find(name, key);
  if (process == nullptr) return;
  if (const auto* roster = std::get_if<protocol::Roster>(&message)) {
    if (process->roster) return;
    if (roster->resume_step > 0 && !manifests_.contains(roster->resume_directory)) {
      violation(format("{} is to resume from {}, which nobody committed", executor::name(key),
                       roster->resume_directory));
    }
    process->roster = *roster;
    Gang& gang = gangs_[gang_of(key)];
    gang.step = std::max(gang.step, roster->resume_step);
    gang.ended = gang.ended || gang.step >= steps;  // its last life ended between the training and the bundle
  } else if (const auto* grant = std::get_if<protocol::GrantPartition>(&message)) {
    if (grant->partition.rank != key.task.index) violation("a partition was granted to another rank");
    process->granted = grant->partition;
    std::erase_if(process->unanswered,
                  [](const auto& m) { return std::holds_alternative<protocol::RequestPartition>(m); });
  } else if (std::holds_alternative<protocol::StopTraining>(message)) {
    process->stop_asked = true;
  } else if (const auto* commit = std::get_if<protocol::CommitCheckpoint>(&message)) {
    const std::string directory =
        format("{}-{}-{}", number(key.task.job), number(key.incarnation), commit->step);
    for (const auto& part : commit->parts) {
      if (part_fails(part.key, commit->step))
        violation(format("step {} is to be committed without all its parts", commit->step));
    }
    manifests_[directory] = commit->step;
    task_says(*process,
              protocol::CheckpointWritten{key, commit->step, commit->step / steps_per_epoch, directory},
              true);
  } else if (std::holds_alternative<protocol::Dismiss>(message)) {
    process->done = true;
    at(delay(1ms, 50ms), [this, name, key] { end_process(name, key, 0, 0); });
  } else if (const auto* refused = std::get_if<protocol::Refused>(&message)) {
    if (refused->final) at(5ms, [this, name, key] { end_process(name, key, 143, 0); });
  }
}

/// All trainers have pushed: the shards apply the step, once.
void World::gang_step(const Process& process) {
  Gang& gang = gangs_[gang_of(process.key)];
  std::uint32_t trainers = 0;
  for (const auto& member : process.roster->members) trainers += member.task.role == Role::trainer ? 1 : 0;
  if (gang.pushed.size() < trainers) return;
  gang.pushed.clear();
  ++gang.step;
  if (gang.save || gang.step == steps || gang.step % save_every == 0) gang.saved.insert(gang.step);
  if (gang.step == steps || gang.save) gang.ended = true;
}

void World::task_works(const NodeName& name, const TaskKey& key) {
  Process* process = find(name, key);
  if (process == nullptr || process->done) return;
  at(delay(20ms, 60ms), [this, name, key] { task_works(name, key); });
  if (!process->roster) return;
  Gang& gang = gangs_[gang_of(key)];
  const bool chief = key.task.role == Role::trainer && key.task.index == 0;
  // Each shard and the chief report their part of every saved step, once.
  if (key.task.role == Role::ps || chief) {
    for (const std::uint64_t step : gang.saved) {
      const protocol::CheckpointPart part{key, step, name + "-part", 1, "00000000"};
      const bool told =
          std::any_of(process->unanswered.begin(), process->unanswered.end(), [&](const auto& m) {
            const auto* one = std::get_if<protocol::CheckpointPart>(&m);
            const auto* none = std::get_if<protocol::CheckpointFailed>(&m);
            return (one != nullptr && one->step >= step) || (none != nullptr && none->step >= step);
          });
      if (told) continue;
      std::erase_if(process->unanswered, [](const auto& m) {
        return std::holds_alternative<protocol::CheckpointPart>(m) ||
               std::holds_alternative<protocol::CheckpointFailed>(m);
      });
      if (part_fails(key, step)) {
        task_says(*process, protocol::CheckpointFailed{key, step, "no space left"}, true);
      } else {
        task_says(*process, part, true);
      }
    }
  }
  if (key.task.role != Role::trainer) return;
  if (gang.ended) {
    process->done = true;
    process->unanswered.clear();
    const bool stopped = gang.step < steps;
    // The chief tests and writes the bundle; its last words reach the master unless the line is down.
    at(delay(10ms, 300ms), [this, name, key, stopped] {
      if (Process* self = find(name, key))
        task_says(*self, protocol::Finished{key, {{"test/accuracy", 0.5}}, stopped}, false);
      at(delay(20ms, 60ms), [this, name, key] { end_process(name, key, 0, 0); });
    });
    return;
  }
  if (chief && process->stop_asked) gang.save = true;
  const std::uint64_t next = gang.step + 1;
  if (gang.pushed.contains(key.task.index)) return;
  const protocol::Partition due = partition_of(next, key.task.index);
  if (process->granted != due) {
    const bool asked =
        std::any_of(process->unanswered.begin(), process->unanswered.end(), [&](const auto& m) {
          const auto* one = std::get_if<protocol::RequestPartition>(&m);
          return one != nullptr && one->epoch == due.epoch && one->index == due.index;
        });
    if (!asked) task_says(*process, protocol::RequestPartition{key, due.epoch, due.index}, true);
    return;
  }
  gang.pushed.insert(key.task.index);
  task_says(
      *process,
      protocol::Progress{.key = key, .phase = "train", .epoch = due.epoch, .step = next, .steps = steps},
      false);
  if (next % steps_per_partition == 0)
    task_says(*process, protocol::PartitionDone{key, due, 32, {}, 0}, true);
  gang_step(*process);
}

}  // namespace trainyard::sim
