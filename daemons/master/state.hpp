// The master's state: what the journal remembers (jobs, gangs, causes), changed by fold() alone, and what is
// known from hearing (nodes, sessions, progress), which a restarted master hears again. A value; one thread
// owns it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/time.hpp"
#include "daemons/master/ledger.hpp"
#include "daemons/master/records.hpp"

namespace trainyard::master {

using protocol::TaskKey;

/// A connection; the shell numbers them and never uses a number twice.
enum class PeerId : std::uint64_t {};

inline constexpr std::size_t events_max = 1000;  // kept of one job
inline constexpr std::size_t skipped_max = 100;  // bad records that are named
inline constexpr std::size_t history_max = 10'000;

struct Settings {
  Duration heartbeat_every = 250ms;
  Duration unreachable_after = 5s;
  Duration lost_after = 30s;
  Duration recovery_grace = 30s;
  Duration register_within = 60s;
  std::uint32_t jobs_kept = 1000;
  friend bool operator==(const Settings&, const Settings&) = default;
};

enum class TaskState : std::uint8_t { pending, starting, ready, running, done, failed, lost };

struct Task {
  // remembered
  Incarnation incarnation{};
  NodeName node;
  std::vector<std::uint32_t> gpus;
  protocol::ResourceSet granted;
  TaskState state = TaskState::starting;
  std::string address;
  bool finished = false;  // a trainer that did all its steps
  std::int32_t exit_code = 0, signal = 0;
  std::uint64_t memory_peak = 0;
  std::string cause;
  std::vector<std::string> last_lines;
  // heard
  bool seen = false;  // its node has reported it, or it registered
  std::int32_t pid = 0;
  std::optional<PeerId> peer;      // registered through it
  std::optional<Time> commanded;   // when LaunchTask or StopTask left last
  std::optional<Time> stop_asked;  // StopTask left first
};

struct Checkpoint {
  std::uint64_t step = 0, epoch = 0;
  std::string directory;
};

struct JobEvent {
  WallMillis at = 0;
  std::string kind, text, task;
};

struct EpochRow {
  std::uint64_t epoch = 0, step = 0;
  std::map<std::string, double> metrics;
};

enum class JobState : std::uint8_t { pending, starting, running, stopping, succeeded, failed, cancelled };

/// What a task said last of its own work.
struct Told {
  std::uint64_t step = 0;
  std::map<std::string, double> metrics;
};

struct Job {
  // remembered
  JobOrder order;
  std::string secret;
  JobState state = JobState::pending;
  Stop stop = Stop::none;
  std::string cause;
  Incarnation incarnation{};  // of the gang; 0 before the first
  std::map<TaskId, Task> tasks;
  std::map<TaskId, std::uint32_t> failures;
  std::uint32_t restarts = 0;
  std::uint64_t epoch = 0;                 // moves of shards in this life of the gang
  std::map<std::uint32_t, TaskId> owners;  // of shards that have moved
  std::optional<Checkpoint> checkpoint;
  std::vector<EpochRow> history;
  std::map<std::string, double> result;  // of the chief
  bool checkpoint_fails = false;         // the newest one that was tried
  std::uint32_t skipped_count = 0;
  std::vector<std::string> skipped;
  std::vector<JobEvent> events;
  WallMillis submitted = 0, started = 0, first_step = 0, ended = 0;
  // heard
  protocol::Progress progress;
  std::map<TaskId, Told> told;  // by tasks of the current gang
  Ledger ledger;
  std::map<std::uint64_t, std::map<TaskId, protocol::CheckpointPart>> parts;  // by step
  std::optional<protocol::CheckpointFailed> part_failed;  // the newest; the chief must hear of it
  std::string pending_reason;
  std::optional<Time> placed_at;  // of the current gang
  std::optional<Time> stopping_since;
  bool gentle = false;                // trainers were asked to save first; StopTask follows later
  std::optional<Time> dismissed_at;   // the work is done; who stays is stopped
  std::optional<Time> waiting_since;  // pending and without room
  std::optional<Time> not_before;     // a pause before the next placement
};

enum class NodeState : std::uint8_t { ready, unreachable, lost };

struct Node {
  std::optional<PeerId> peer;
  std::uint64_t session = 0;
  std::string address;
  protocol::ResourceSet capacity;
  std::map<std::string, std::string> labels;
  std::vector<std::string> gpu_models;
  NodeState state = NodeState::unreachable;
  Time last_heard{};
  WallMillis last_heard_wall = 0;
  std::optional<Time> registered_at;  // nothing: only remembered from placements
};

/// A log that somebody waits for.
struct LogQuestion {
  std::uint64_t request = 0;  // of the HTTP side
  std::string task;
  bool error_stream = false;
  Time until{};
};

struct State {
  Settings settings;
  // remembered
  std::string identity;
  std::uint64_t next_job = 1;
  std::map<JobId, Job> jobs;
  // heard
  std::map<NodeName, Node> nodes;
  std::map<PeerId, NodeName> node_peers;
  std::map<PeerId, TaskId> task_peers;
  std::map<std::uint64_t, LogQuestion> logs;  // by number of ReadLog
  std::uint64_t next_log = 1;
  std::map<TaskKey, Time> strays;  // processes of older lives: when they were told to stop
  std::optional<Time> recovering_until;
  bool closing = false;  // no new gangs; ends when all are down
  std::optional<Time> close_at;
};

/// The one way in which what is remembered changes. A record of a job that is not known is left alone.
void fold(State& state, const Record& record);

/// Shards of the job, without their followers.
std::uint32_t shards_of(const Job& job);
/// The shard that a task holds, itself or as a follower.
std::uint32_t shard_of(const Job& job, const TaskId& task);
/// It began as a follower.
bool follows(const Job& job, const TaskId& task);
/// Who serves the shard now.
TaskId owner_of(const Job& job, JobId id, std::uint32_t shard);
bool has_ended(JobState state);
bool has_ended(TaskState state);
const char* name(JobState state);
const char* name(TaskState state);
const char* name(NodeState state);

/// CPUs, memory and GPUs that living tasks leave free on a node.
protocol::ResourceSet free_on(const State& state, const NodeName& node);

}  // namespace trainyard::master
