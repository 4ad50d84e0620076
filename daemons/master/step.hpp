// One step of the master's core, of daemons/master's core alone: what the parts of it share. core.cpp takes
// the events of requests and time, nodes.cpp what executors say, members.cpp what tasks say, gangs.cpp the
// life of a gang.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "daemons/master/core.hpp"
#include "daemons/master/scheduler.hpp"

namespace trainyard::master {

class Step {
 public:
  Step(State& state, Instant now) : state_(state), now_(now.monotonic), wall_(now.wall) {}
  Actions run(const Event& event);

 private:
  using Jobs = std::map<JobId, Job>;

  // ---- core.cpp
  void on(const Recovered& event);
  void on(const MessageReceived& event);
  void on(const PeerClosed& event);
  void on(const JobSubmitted& event);
  void on(const CancelAsked& event);
  void on(const LogAsked& event);
  void on(const ShutdownAsked& event);
  void on(const Tick& event);
  void expire_logs();
  void close_if_quiet();

  // ---- nodes.cpp
  void node_says(PeerId peer, const protocol::RegisterNode& message);
  void node_says(PeerId peer, const protocol::Heartbeat& message);
  void node_says(PeerId peer, const protocol::LogChunk& message);
  void reconcile(const NodeName& node, const std::vector<protocol::TaskReport>& reports);
  void heard_of(const NodeName& node, const protocol::TaskReport& report);
  void not_reported(const NodeName& node, JobId id, const TaskId& task_id);
  void stray(const NodeName& node, const protocol::TaskReport& report);
  void watch_nodes();
  void lose(const NodeName& node);
  void end_recovery_if_complete();

  // ---- members.cpp
  void task_says(PeerId peer, const protocol::RegisterTask& message);
  void task_says(PeerId peer, const protocol::Progress& message);
  void task_says(PeerId peer, const protocol::RequestPartition& message);
  void task_says(PeerId peer, const protocol::PartitionDone& message);
  void task_says(PeerId peer, const protocol::CheckpointPart& message);
  void task_says(PeerId peer, const protocol::CheckpointFailed& message);
  void task_says(PeerId peer, const protocol::CheckpointWritten& message);
  void task_says(PeerId peer, const protocol::Finished& message);
  /// The task that the peer registered as, if it may still speak for it; else the peer is told to end.
  Task* speaker(PeerId peer, const protocol::TaskKey& key);
  void send_roster(JobId id, Job& job, PeerId peer);
  void complete_if_all_registered(JobId id, Job& job);
  void commit_if_whole(JobId id, Job& job, std::uint64_t at_step);

  // ---- gangs.cpp
  void schedule();
  std::vector<Offer> offers(bool empty) const;
  void launch(JobId id, Job& job, const TaskId& task_id);
  void begin_stop(JobId id, Stop stop, const std::string& cause, std::vector<TaskId> blamed = {});
  void stop_hard(JobId id, Job& job);
  void stop_task(const TaskId& task_id, Task& task);
  void end_task(const TaskId& task_id, TaskEnd end, const std::string& cause,
                const protocol::TaskReport* report = nullptr);
  void consider_end(JobId id, const TaskId& task_id);
  /// The gang goes on without a shard or follower whose other half is there.
  bool move_shard(JobId id, const TaskId& lost);
  void fail_or_restart(JobId id, std::vector<TaskId> blamed, const std::string& cause, bool hopeless);
  void dismiss_if_done(JobId id, Job& job);
  void settle(JobId id);
  void end_job(JobId id, JobEnd end, const std::string& cause);
  void watch_jobs();

  // ---- what all have in common
  void remember(Record record) {
    fold(state_, record);
    actions_.push_back(Append{std::move(record)});
  }
  void send(PeerId peer, protocol::Message message) { actions_.push_back(Send{peer, std::move(message)}); }
  bool send_to_node(const NodeName& node, protocol::Message message);
  void answer(std::uint64_t request, Reply reply) { actions_.push_back(Answer{request, std::move(reply)}); }
  void say(std::string text) { actions_.push_back(Say{std::move(text)}); }
  Job* find_job(JobId id) {
    const auto it = state_.jobs.find(id);
    return it == state_.jobs.end() ? nullptr : &it->second;
  }
  /// The task if this life of it is the current one.
  Task* find_task(const protocol::TaskKey& key);
  bool due(const std::optional<Time>& last, Duration every) const { return !last || now_ - *last >= every; }

  State& state_;
  const Time now_;
  const WallMillis wall_;
  Actions actions_;
  bool schedule_wanted_ = false;
};

inline bool alive(const Task& task) { return !has_ended(task.state); }
inline bool any_alive(const Job& job) {
  for (const auto& [id, task] : job.tasks) {
    if (alive(task)) return true;
  }
  return false;
}
inline TaskId chief_of(JobId id) { return {id, Role::trainer, 0}; }

}  // namespace trainyard::master
