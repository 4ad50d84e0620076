// A cluster in one process: the real cores of a master and its executors, a model of their tasks, and a world
// that delays, breaks, repeats and kills. Everything comes from one seed, so that the same seed gives the
// same trace.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/random.hpp"
#include "daemons/executor/core.hpp"
#include "daemons/master/core.hpp"

namespace trainyard::sim {

using protocol::TaskKey;

struct Faults {
  bool crashes = true;       // of master, executors, nodes and tasks
  bool breaks = true;        // of connections
  bool partitions = true;    // a node hears and says nothing for a while
  double duplicates = 0.02;  // share of messages that arrive twice
};

/// One running process of a task, and what it has heard.
struct Process {
  TaskKey key;
  protocol::LaunchTask launch;
  int pid = 0;
  std::optional<std::uint64_t> link;  // its connection to the master
  std::optional<protocol::Roster> roster;
  bool stop_asked = false, waiting = false, done = false;
  std::optional<protocol::Partition> granted;
  std::vector<protocol::Message> unanswered;  // said again after a reconnect
};

/// What is left on a node's disk of a task.
struct Remains {
  std::string cluster;
  std::optional<executor::TaskExited> exit;  // nothing: it runs, or its shim was killed
};

struct Node {
  executor::NodeFacts facts;
  std::optional<executor::State> core;  // nothing while the executor is dead
  std::uint64_t life = 0;
  std::optional<std::uint64_t> link;
  std::map<TaskKey, Process> processes;
  std::map<TaskKey, Remains> live, done;
  Duration cut_until{};  // partitioned until then
};

/// A connection; in order, and what is on its way is lost when it breaks.
struct Link {
  bool open = true;
  std::string node;
  std::optional<TaskKey> task;          // else the executor's
  Duration to_master{}, from_master{};  // when the last message arrives
};

/// The training that the tasks of one life of a gang do together.
struct Gang {
  std::uint64_t step = 0;
  std::set<std::uint32_t> pushed;
  bool ended = false, save = false;
  std::set<std::uint64_t> saved;
};

class World {
 public:
  World(std::uint64_t seed, Faults faults);

  /// Submits some jobs, lets faults happen for `faulty`, then waits for quiet. Errors are in `violations`.
  void run(Duration faulty, Duration calm);

  std::vector<std::string> violations;
  std::uint64_t trace = 0;  // hash of everything that happened
  std::size_t events = 0, crashes = 0, restarts = 0;
  std::map<std::string, std::size_t> outcomes;  // state -> jobs

 private:
  friend class Tasks;
  using Work = std::function<void()>;
  void at(Duration delay, Work work);
  Duration delay(Duration low, Duration high);
  Instant instant() const;
  void note(const std::string& text);
  void violation(const std::string& text);

  // master
  void master_start();
  void master_crash();
  void master_step(const master::Event& event);
  void master_act(const master::Action& action);
  void master_append(const master::Record& record);
  void master_flush();
  void check_master();
  void submit();

  // executors
  void node_start(Node& node);
  void node_crash(Node& node, bool machine, bool wiped);
  void node_step(const NodeName& name, const executor::Event& event);
  void node_act(const NodeName& name, const executor::Action& action);
  void spawn(const NodeName& name, const executor::Spawn& action);
  void end_process(const NodeName& name, const TaskKey& key, int code, int signal);
  void connect_node(const NodeName& name);

  // tasks (tasks.cpp)
  void connect_task(const NodeName& name, const TaskKey& key);
  void task_hears(const NodeName& name, const TaskKey& key, const protocol::Message& message);
  void task_says(Process& process, const protocol::Message& message, bool again);
  void task_works(const NodeName& name, const TaskKey& key);
  void gang_step(const Process& process);
  Process* find(const NodeName& name, const TaskKey& key);

  // network
  std::uint64_t open_link(const std::string& node, std::optional<TaskKey> task);
  void break_link(std::uint64_t id);
  void send_up(std::uint64_t id, const protocol::Message& message);
  void send_down(std::uint64_t id, const protocol::Message& message);
  bool cut(const std::string& node) const;
  void schedule_fault();

  Random random_;
  Faults faults_;
  Duration now_{};
  std::uint64_t sequence_ = 0;
  std::map<std::pair<Duration, std::uint64_t>, Work> queue_;
  Duration faulty_until_{};

  std::optional<master::State> master_;
  std::uint64_t master_life_ = 0;
  std::vector<std::string> durable_;                           // the journal
  std::vector<std::string> pending_;                           // appended, not on disk
  std::vector<std::pair<std::size_t, master::Actions>> held_;  // until so many records are on disk
  bool flushing_ = false;
  std::size_t flushed_ = 0, appended_ = 0;

  std::map<NodeName, Node> nodes_;
  std::map<std::uint64_t, Link> links_;
  std::uint64_t next_link_ = 1, next_request_ = 1, next_session_ = 1;
  int next_pid_ = 100;
  std::map<std::pair<std::uint64_t, std::uint32_t>, Gang> gangs_;  // by job and incarnation
  std::map<std::string, std::uint64_t> manifests_;                 // directory -> step
  std::set<std::uint64_t> accepted_;
  std::map<std::pair<NodeName, TaskKey>, int> spawned_;
};

}  // namespace trainyard::sim
