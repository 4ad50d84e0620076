// A task's line to the master: what it was told at its start, and a control connection that registers again
// each time it opens. Reports wait (bounded) while the master is away, so that work goes on without it; what
// matters is repeated after a reconnect, since the master takes every report twice. Lives on the reactor's
// thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.hpp"
#include "common/net/control.hpp"
#include "common/net/endpoint.hpp"
#include "common/net/reactor.hpp"
#include "common/protocol/messages.hpp"

namespace trainyard::runtime {

/// The variables TRAINYARD_* of a task that the suite itself runs.
struct TaskEnvironment {
  protocol::TaskKey key;
  net::Endpoint master;
  std::string secret;
  std::string job_file;        // YAML as config::print_job writes it
  std::string address;         // where this node's tasks listen, without a port
  std::string checkpoint_dir;  // of the job, shared by its tasks
  std::string output_dir;
};

/// Errors name the variable that is missing or wrong.
Result<TaskEnvironment> read_task_environment(const std::map<std::string, std::string>& variables);

/// What a master must hear again when the connection was lost: the newest of each kind, and the epochs and
/// partitions that were finished last. Pure.
class Outbox {
 public:
  static constexpr std::size_t partitions_max = 64, epochs_max = 64;
  void add(const protocol::Message& report);
  /// An answer came: what asked for it is not repeated any more.
  void answered(const protocol::Message& message);
  /// In the order in which a master that knows nothing of them wants them.
  std::vector<protocol::Message> all() const;

 private:
  std::optional<protocol::Progress> progress_;
  std::deque<protocol::Progress> epochs_;  // ends of epochs
  std::deque<protocol::PartitionDone> done_;
  std::optional<protocol::RequestPartition> request_;
  std::optional<protocol::CheckpointPart> part_;
  std::optional<protocol::CheckpointFailed> part_failed_;  // one of the two, the newest
  std::optional<protocol::CheckpointWritten> written_;
  std::optional<protocol::Finished> finished_;
};

class Member {
 public:
  using Received = std::function<void(protocol::Message)>;

  /// `listening`: "host:port" that this task really serves, or empty. `received` gets what the master says:
  /// Roster, GrantPartition, CommitCheckpoint, CheckpointFailed, StopTraining, Dismiss, Refused; any of them
  /// may come twice.
  Member(net::Reactor& reactor, const TaskEnvironment& environment, const std::string& listening,
         Received received);
  ~Member();
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;

  /// At once when the master is there, else as soon as it is back.
  void report(const protocol::Message& message);
  bool connected() const;
  /// Calls `done` once all reports have left this process, at the latest after `patience`. Nothing is sent
  /// later.
  void flush(Duration patience, std::function<void()> done);

 private:
  struct State;
  std::shared_ptr<State> state_;
  net::Reactor* reactor_ = nullptr;
  std::unique_ptr<net::Connector> connector_;
};

}  // namespace trainyard::runtime
