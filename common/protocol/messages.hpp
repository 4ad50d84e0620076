// Version 1 of the control protocol as plain, comparable values. Cores see nothing else; codec.hpp turns them
// into bytes and back. State flows up in full (Heartbeat), commands flow down and may arrive twice.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "common/base/ids.hpp"

namespace trainyard::protocol {

inline constexpr std::uint32_t version = 1;

/// What a node offers, or a task is granted. CPUs are counted in thousandths so that sums are exact.
struct ResourceSet {
  std::uint64_t cpu_millis = 0;
  std::uint64_t memory = 0;  // bytes
  std::uint32_t gpus = 0;
  friend bool operator==(const ResourceSet&, const ResourceSet&) = default;
};

/// A task in one of its lives; what fences stale processes.
struct TaskKey {
  TaskId task;
  Incarnation incarnation{};
  friend auto operator<=>(const TaskKey&, const TaskKey&) = default;
};

/// "3/trainer-0#2": job 3, second life; for logs.
inline std::string name(const TaskKey& key) {
  return std::to_string(number(key.task.job)) + "/" + name(key.task) + "#" +
         std::to_string(number(key.incarnation));
}

enum class ProcessState : std::uint8_t { starting, running, exited };

/// What an executor knows of one process that it launched; reported until the master says ForgetTask.
struct TaskReport {
  TaskKey key;
  ProcessState state = ProcessState::starting;
  std::int32_t pid = 0;
  std::int32_t exit_code = 0;           // exited by itself
  std::int32_t signal = 0;              // killed by a signal; 0 if not
  std::uint64_t memory_peak = 0;        // bytes, of the whole process group
  std::string error;                    // why it could not be started
  std::vector<std::string> last_lines;  // the end of its stderr, at most 20 lines of 500 bytes
  friend bool operator==(const TaskReport&, const TaskReport&) = default;
};

// ---- executor -> master
struct RegisterNode {
  NodeName node;
  std::uint64_t session = 0;  // random at each start of the executor
  std::uint32_t version = 0;
  std::string address;  // where its tasks listen
  ResourceSet capacity;
  std::map<std::string, std::string> labels;
  std::vector<std::string> gpu_models;
  std::vector<TaskReport> tasks;
  friend bool operator==(const RegisterNode&, const RegisterNode&) = default;
};
struct Heartbeat {
  NodeName node;
  std::uint64_t session = 0;
  std::vector<TaskReport> tasks;  // all that it has
  friend bool operator==(const Heartbeat&, const Heartbeat&) = default;
};
struct LogChunk {
  std::uint64_t request = 0;
  std::string bytes;         // at most 256 KiB
  std::uint64_t offset = 0;  // of the first byte
  std::uint64_t end = 0;     // size of the log now
  std::string error;
  friend bool operator==(const LogChunk&, const LogChunk&) = default;
};

// ---- master -> executor
struct Registered {
  std::uint64_t heartbeat_ms = 0;
  std::string cluster;  // identity of the master's state
  friend bool operator==(const Registered&, const Registered&) = default;
};
struct Refused {  // the session cannot go on; the peer logs the reason and exits or re-registers
  std::string reason;
  bool final = false;  // true: do not try again
  friend bool operator==(const Refused&, const Refused&) = default;
};
struct LaunchTask {
  TaskKey key;
  std::string job_yaml;
  std::string job_name;
  ResourceSet granted;
  std::vector<std::uint32_t> gpus;  // indices on the node
  std::string checkpoint_dir, output_dir;
  std::string secret;                         // the task proves with it that it is the one that was launched
  std::map<std::string, std::uint32_t> gang;  // role -> count, for the environment
  friend bool operator==(const LaunchTask&, const LaunchTask&) = default;
};
struct StopTask {
  TaskKey key;
  std::uint64_t grace_ms = 0;  // 0: SIGKILL at once
  friend bool operator==(const StopTask&, const StopTask&) = default;
};
struct ForgetTask {  // its exit is durable at the master
  TaskKey key;
  friend bool operator==(const ForgetTask&, const ForgetTask&) = default;
};
struct ReadLog {
  std::uint64_t request = 0;
  TaskKey key;
  bool error_stream = false;  // stderr, else stdout
  std::uint64_t offset = 0;
  std::uint64_t bytes_max = 0;
  std::uint32_t tail_lines = 0;  // not 0: the last lines instead of an offset
  friend bool operator==(const ReadLog&, const ReadLog&) = default;
};

// ---- task -> master
struct RegisterTask {
  TaskKey key;
  std::string secret;
  std::string address;  // "host:port" on which it really listens; empty if it serves nobody
  std::int32_t pid = 0;
  friend bool operator==(const RegisterTask&, const RegisterTask&) = default;
};
struct Progress {
  TaskKey key;
  std::string phase;  // load, train, evaluate, checkpoint, export
  std::uint64_t epoch = 0, epochs = 0, step = 0, steps = 0;
  std::map<std::string, double> metrics;
  friend bool operator==(const Progress&, const Progress&) = default;
};
/// A partition: the samples of one trainer in a run of steps of one epoch (see data/split.hpp).
struct Partition {
  std::uint64_t epoch = 0;
  std::uint32_t index = 0;  // position in the epoch
  std::uint32_t rank = 0;   // whose samples of these steps
  friend auto operator<=>(const Partition&, const Partition&) = default;
};
struct RequestPartition {  // the next one, please; asked again after a reconnect
  TaskKey key;
  std::uint64_t epoch = 0;
  std::uint32_t index = 0;  // in synchronous order the trainer knows which one is due
  friend bool operator==(const RequestPartition&, const RequestPartition&) = default;
};
struct PartitionDone {
  TaskKey key;
  Partition partition;
  std::uint32_t samples = 0;     // used
  std::vector<std::string> bad;  // "path: reason", skipped; at most 100 are named
  std::uint32_t bad_count = 0;
  friend bool operator==(const PartitionDone&, const PartitionDone&) = default;
};
struct CheckpointPart {  // a member's part of a checkpoint is on disk
  TaskKey key;
  std::uint64_t step = 0;
  std::string file;  // relative to the checkpoint's directory
  std::uint64_t bytes = 0;
  std::string checksum;  // CRC-32, 8 hex digits
  friend bool operator==(const CheckpointPart&, const CheckpointPart&) = default;
};
/// A member's part could not be written, so that there is no checkpoint of this step. The master passes it on
/// to the chief, which gives it up at once.
struct CheckpointFailed {
  TaskKey key;  // whose part
  std::uint64_t step = 0;
  std::string reason;  // names the path and the cause
  friend bool operator==(const CheckpointFailed&, const CheckpointFailed&) = default;
};
struct CheckpointWritten {  // the chief trainer wrote the manifest: the checkpoint exists
  TaskKey key;
  std::uint64_t step = 0, epoch = 0;
  std::string directory;  // relative to the job's checkpoint directory
  friend bool operator==(const CheckpointWritten&, const CheckpointWritten&) = default;
};
struct Finished {  // a trainer did all its steps; the chief's carries the result
  TaskKey key;
  std::map<std::string, double> metrics;
  bool stopped = false;  // on request, before the last step
  friend bool operator==(const Finished&, const Finished&) = default;
};

// ---- master -> task
struct Member {
  TaskId task;
  std::string address;
  NodeName node;
  bool follows = false;  // a shard's replica, which serves nobody yet
  friend bool operator==(const Member&, const Member&) = default;
};
struct Roster {  // the cluster spec; sent when the whole gang has registered, and when a shard has moved
  std::vector<Member> members;
  std::uint64_t resume_step = 0;  // 0: from the beginning
  std::uint64_t resume_epoch = 0;
  std::string resume_directory;  // relative to the job's checkpoint directory
  std::uint64_t epoch = 0;       // counts the moves of shards in this life of the gang
  friend bool operator==(const Roster&, const Roster&) = default;
};
struct GrantPartition {
  Partition partition;
  friend bool operator==(const GrantPartition&, const GrantPartition&) = default;
};
struct CommitCheckpoint {  // to the chief: all parts are durable, write the manifest
  std::uint64_t step = 0;
  std::vector<CheckpointPart> parts;
  friend bool operator==(const CommitCheckpoint&, const CommitCheckpoint&) = default;
};
struct StopTraining {  // checkpoint, then end
  std::string reason;
  friend bool operator==(const StopTraining&, const StopTraining&) = default;
};
struct Dismiss {  // to a shard: the gang is done, exit with 0
  friend bool operator==(const Dismiss&, const Dismiss&) = default;
};

using Message = std::variant<RegisterNode, Heartbeat, LogChunk, Registered, Refused, LaunchTask, StopTask,
                             ForgetTask, ReadLog, RegisterTask, Progress, RequestPartition, PartitionDone,
                             CheckpointPart, CheckpointWritten, Finished, Roster, GrantPartition,
                             CommitCheckpoint, StopTraining, Dismiss, CheckpointFailed>;

}  // namespace trainyard::protocol
