// What the master remembers: durable facts, one JSON object each in the journal. A new release may decide
// otherwise, but it remembers alike: records are only ever added to. Plain values; the codec throws nothing.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/base/ids.hpp"
#include "common/base/result.hpp"
#include "common/base/time.hpp"
#include "common/protocol/messages.hpp"

namespace trainyard::master {

/// Tasks of one role, all alike.
struct RoleOrder {
  Role role = Role::trainer;
  std::uint32_t count = 0;
  protocol::ResourceSet each;
  friend bool operator==(const RoleOrder&, const RoleOrder&) = default;
};

/// What the master needs of a job file. The rest travels to the tasks as it is, in `yaml`.
struct JobOrder {
  std::string name, kind = "train", queue = "default";
  std::uint32_t priority = 50;
  std::vector<RoleOrder> roles;  // trainers first
  std::uint32_t replicas = 0;    // followers of each shard, which count as shards behind all others
  std::map<std::string, std::string> require;
  bool spread = false;
  std::uint32_t restarts = 3;  // failures of one task before the job fails
  std::uint64_t time_limit_ms = 0;
  std::uint64_t epochs = 0;  // that were asked for
  std::string output_dir, checkpoint_dir;
  std::string yaml;
  friend bool operator==(const JobOrder&, const JobOrder&) = default;
};

struct Placed {
  TaskId task;
  NodeName node;
  std::vector<std::uint32_t> gpus;
  friend bool operator==(const Placed&, const Placed&) = default;
};

/// Why a gang is taken down, and what comes after.
enum class Stop : std::uint8_t {
  none,
  restart,  // the next incarnation, from the last checkpoint
  pause,    // as restart, but nobody's fault: the master itself goes down
  cancel,
  fail,
};

enum class TaskEnd : std::uint8_t { done, failed, lost };

// ---- records
struct ClusterFounded {
  std::string identity;
  friend bool operator==(const ClusterFounded&, const ClusterFounded&) = default;
};
/// Keeps numbers from being used again when older records were dropped.
struct IdsUsed {
  std::uint64_t next = 1;
  friend bool operator==(const IdsUsed&, const IdsUsed&) = default;
};
struct JobAccepted {
  JobId job{};
  JobOrder order;
  std::string secret;  // its tasks prove with it who they are
  WallMillis at = 0;
  friend bool operator==(const JobAccepted&, const JobAccepted&) = default;
};
/// All of the gang or none; what fences every older life of its tasks.
struct GangPlaced {
  JobId job{};
  Incarnation incarnation{};
  std::vector<Placed> tasks;
  WallMillis at = 0;
  friend bool operator==(const GangPlaced&, const GangPlaced&) = default;
};
struct GangComplete {  // all have registered
  JobId job{};
  Incarnation incarnation{};
  std::map<TaskId, std::string> addresses;
  WallMillis at = 0;
  friend bool operator==(const GangComplete&, const GangComplete&) = default;
};
struct FirstStepDone {
  JobId job{};
  WallMillis at = 0;
  friend bool operator==(const FirstStepDone&, const FirstStepDone&) = default;
};
struct EpochDone {
  JobId job{};
  std::uint64_t epoch = 0, step = 0;
  std::map<std::string, double> metrics;
  friend bool operator==(const EpochDone&, const EpochDone&) = default;
};
struct RecordsSkipped {
  JobId job{};
  std::uint32_t count = 0;
  std::vector<std::string> named;
  WallMillis at = 0;
  friend bool operator==(const RecordsSkipped&, const RecordsSkipped&) = default;
};
struct CheckpointCommitted {
  JobId job{};
  std::uint64_t step = 0, epoch = 0;
  std::string directory;
  WallMillis at = 0;
  friend bool operator==(const CheckpointCommitted&, const CheckpointCommitted&) = default;
};
/// The first that failed since the one before succeeded.
struct CheckpointLost {
  JobId job{};
  std::uint64_t step = 0;
  TaskId task;  // whose part is missing
  std::string cause;
  WallMillis at = 0;
  friend bool operator==(const CheckpointLost&, const CheckpointLost&) = default;
};
struct TrainerFinished {
  protocol::TaskKey key;
  std::map<std::string, double> metrics;
  bool stopped = false;
  WallMillis at = 0;
  friend bool operator==(const TrainerFinished&, const TrainerFinished&) = default;
};
struct StopDecided {
  JobId job{};
  Stop stop = Stop::none;
  std::string cause;
  std::vector<TaskId> blamed;  // it counts against their restarts
  WallMillis at = 0;
  friend bool operator==(const StopDecided&, const StopDecided&) = default;
};
struct TaskEnded {
  protocol::TaskKey key;
  TaskEnd end = TaskEnd::done;
  std::int32_t exit_code = 0, signal = 0;
  std::uint64_t memory_peak = 0;
  std::string cause;
  std::vector<std::string> last_lines;
  WallMillis at = 0;
  std::int32_t pid = 0;
  friend bool operator==(const TaskEnded&, const TaskEnded&) = default;
};
struct GangDissolved {  // all have ended; the job waits for its next placement
  JobId job{};
  WallMillis at = 0;
  friend bool operator==(const GangDissolved&, const GangDissolved&) = default;
};
enum class JobEnd : std::uint8_t { succeeded, failed, cancelled };
struct JobEnded {
  JobId job{};
  JobEnd end = JobEnd::succeeded;
  std::string cause;
  WallMillis at = 0;
  friend bool operator==(const JobEnded&, const JobEnded&) = default;
};
struct JobForgotten {
  JobId job{};
  friend bool operator==(const JobForgotten&, const JobForgotten&) = default;
};

/// A shard or its follower is gone, and the other one goes on.
struct ShardMoved {
  JobId job{};
  TaskId lost, owner;
  std::uint64_t epoch = 0;  // counts such moves in this life of the gang
  WallMillis at = 0;
  friend bool operator==(const ShardMoved&, const ShardMoved&) = default;
};

using Record = std::variant<ClusterFounded, IdsUsed, JobAccepted, GangPlaced, GangComplete, FirstStepDone,
                            EpochDone, RecordsSkipped, CheckpointCommitted, TrainerFinished, StopDecided,
                            TaskEnded, GangDissolved, JobEnded, JobForgotten, CheckpointLost, ShardMoved>;

std::string encode(const Record& record);
/// Errc::corrupt names what is wrong. Fields that are missing have their defaults.
Result<Record> decode_record(std::string_view text);

/// "gang_placed", as in the journal.
const char* name(const Record& record);

/// The job that a record is about; 0 for those of the whole cluster.
JobId job_of(const Record& record);

}  // namespace trainyard::master
