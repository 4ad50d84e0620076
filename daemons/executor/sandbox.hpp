// Sandbox: the directories of tasks on this node and what a task is told. Layout of work_dir:
//   lock, tasks/<job>-<role>-<index>-<incarnation>/   alive, or ended and not forgotten yet
//   done/<the same>/                                  logs of forgotten tasks; the newest 200 are kept
// A task's directory holds job.yaml, work/ (its working directory), and the files of runtime/task_files.hpp.
//
// The environment of SPEC section 5, and by these internal names what our own tasks need to find the master:
//   TRAINYARD_MASTER       host:port of the control protocol      TRAINYARD_TASK_SECRET  proof for
//   RegisterTask TRAINYARD_JOB_FILE     job.yaml in the task's directory       TRAINYARD_ADDRESS      where
//   to listen TRAINYARD_TASK_DIR     also the mark by which strays are found
// TRAINYARD_CLUSTER_SPEC is {"gang": {"trainer": 2, "ps": 2}, "trainer": [], "ps": []}: addresses are not
// known before all tasks listen; the master sends them as the Roster.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/base/result.hpp"
#include "common/config/cluster_spec.hpp"
#include "common/protocol/messages.hpp"
#include "common/runtime/task_files.hpp"
#include "daemons/executor/core.hpp"

namespace trainyard::executor {

inline constexpr std::size_t done_kept = 200;

/// Who the executor is, as far as its tasks are concerned.
struct SandboxFacts {
  std::string work_dir;
  std::string binaries;  // where trainyard-trainer and trainyard-ps are
  std::string master, address;
  std::uint64_t log_bytes_max = 0;
  Duration stop_grace{};
};

/// A task directory as it was found: the key is that of its name, the cluster that of launch.json.
struct FoundTask {
  TaskKey key;
  std::string cluster, directory;
};

/// "3-trainer-0-2" and back.
std::string directory_name(const TaskKey& key);
Result<TaskKey> parse_directory_name(const std::string& text);

/// All of it: nothing else of `inherited` than PATH, HOME, LANG, TMPDIR and LD_LIBRARY_PATH comes through.
std::map<std::string, std::string> task_environment(const protocol::LaunchTask& launch,
                                                    const SandboxFacts& facts,
                                                    const std::map<std::string, std::string>& inherited);

class Sandbox {
 public:
  explicit Sandbox(SandboxFacts facts) : facts_(std::move(facts)) {}

  Status prepare();  // the directories of work_dir
  std::string live(const TaskKey& key) const;
  std::string done(const TaskKey& key) const;
  /// Makes the task's directory with job.yaml and launch.json; returns its path.
  Result<std::string> furnish(const protocol::LaunchTask& launch, const std::string& cluster);
  /// The directory becomes history: working files and secrets are removed, logs and exit record stay.
  Status retire(const TaskKey& key);
  std::vector<FoundTask> found_live() const;
  std::vector<FoundTask> found_done() const;
  /// Of a live task, or of one that is history.
  protocol::LogChunk read_log(const protocol::ReadLog& request) const;

 private:
  std::vector<FoundTask> found_in(const std::string& directory) const;
  void trim_history() const;

  const SandboxFacts facts_;
};

}  // namespace trainyard::executor
