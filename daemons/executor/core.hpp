// The decisions of an executor: which processes to start and stop, and what to tell the master. A value and a
// function; it opens no socket, starts no process and asks no clock. The shell's one thread owns the State.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/base/time.hpp"
#include "common/protocol/messages.hpp"

namespace trainyard::executor {

using protocol::name;
using protocol::TaskKey;

inline constexpr std::size_t tasks_max = 1000;         // processes a node keeps, exited ones included
inline constexpr std::size_t remembered_max = 10'000;  // tasks whose newest incarnation is remembered
inline constexpr Duration register_again_every = 1s;   // until the master answers
inline constexpr Duration destroy_after = 5s;          // past the grace: the shim itself does not react

/// What a node is; fixed while its executor runs.
struct NodeFacts {
  NodeName node;
  std::uint64_t session = 0;  // random at each start
  std::string address;        // where tasks listen
  protocol::ResourceSet capacity;
  std::map<std::string, std::string> labels;
  std::vector<std::string> gpu_models;
  Duration orphan_after{};    // master away so long: tasks are stopped; 0: never
  Duration stop_grace = 10s;  // for stops that the executor itself decides
  friend bool operator==(const NodeFacts&, const NodeFacts&) = default;
};

/// One process, or one that waits for an older life of the same task to end.
struct Task {
  protocol::TaskReport report;
  std::string cluster;                          // identity of the master that launched it
  std::optional<protocol::LaunchTask> waiting;  // not spawned yet
  std::optional<Time> kill_at;                  // asked to stop; its shim kills then
  std::optional<Time> destroy_at;               // the shim should be gone by then
  bool unwanted = false;                        // told to nobody; removed once it has ended
  friend bool operator==(const Task&, const Task&) = default;
};

/// The newest life of a task that was ever started here: older and equal ones are not started again.
struct Newest {
  Incarnation incarnation{};
  std::string cluster;
  friend bool operator==(const Newest&, const Newest&) = default;
};

struct State {
  NodeFacts facts;
  std::map<TaskKey, Task> tasks;
  std::map<TaskId, Newest> newest;
  std::string cluster;  // as the master said last
  bool connected = false, registered = false;
  Duration heartbeat_every = 250ms;
  Time heartbeat_due{}, register_due{};
  std::optional<Time> alone_since;  // without a registration
  bool orphans_stopped = false;
  friend bool operator==(const State&, const State&) = default;
};

// ---- events: facts, in the past tense
struct SessionOpened {
  friend bool operator==(const SessionOpened&, const SessionOpened&) = default;
};  // to the master
struct SessionClosed {
  friend bool operator==(const SessionClosed&, const SessionClosed&) = default;
};
struct MessageReceived {
  protocol::Message message;
  friend bool operator==(const MessageReceived&, const MessageReceived&) = default;
};
struct TaskStarted {
  TaskKey key;
  std::int32_t pid = 0;
  friend bool operator==(const TaskStarted&, const TaskStarted&) = default;
};
/// It ended, or it could not be started (`error`); also of a task that was found dead after a restart.
struct TaskExited {
  TaskKey key;
  std::int32_t exit_code = 0, signal = 0;
  std::uint64_t memory_peak = 0;
  std::string error;
  std::vector<std::string> last_lines;
  friend bool operator==(const TaskExited&, const TaskExited&) = default;
};
/// At start, before SessionOpened: a process of an earlier executor, running or with its exit record.
struct TaskFound {
  protocol::TaskReport report;
  std::string cluster;
  friend bool operator==(const TaskFound&, const TaskFound&) = default;
};
/// At start: a task that ran here once and was forgotten by order of the master.
struct TaskRemembered {
  TaskKey key;
  std::string cluster;
  friend bool operator==(const TaskRemembered&, const TaskRemembered&) = default;
};
struct Tick {
  friend bool operator==(const Tick&, const Tick&) = default;
};
using Event = std::variant<SessionOpened, SessionClosed, MessageReceived, TaskStarted, TaskExited, TaskFound,
                           TaskRemembered, Tick>;

// ---- actions: imperatives
struct Send {
  protocol::Message message;
  friend bool operator==(const Send&, const Send&) = default;
};
struct Spawn {  // answered by TaskStarted, or TaskExited with an error
  protocol::LaunchTask launch;
  std::string cluster;
  friend bool operator==(const Spawn&, const Spawn&) = default;
};
struct Stop {  // SIGTERM, after the grace SIGKILL; 0: SIGKILL at once
  TaskKey key;
  Duration grace{};
  friend bool operator==(const Stop&, const Stop&) = default;
};
struct Destroy {  // SIGKILL to the shim and all below it
  TaskKey key;
  friend bool operator==(const Destroy&, const Destroy&) = default;
};
struct Remove {  // its directory becomes history
  TaskKey key;
  friend bool operator==(const Remove&, const Remove&) = default;
};
struct AnswerLog {  // read a log and send a LogChunk
  protocol::ReadLog request;
  friend bool operator==(const AnswerLog&, const AnswerLog&) = default;
};
struct Say {  // to the log
  std::string text;
  friend bool operator==(const Say&, const Say&) = default;
};
struct Quit {  // the master wants this executor to go; tasks run on
  std::string reason;
  friend bool operator==(const Quit&, const Quit&) = default;
};
using Action = std::variant<Send, Spawn, Stop, Destroy, Remove, AnswerLog, Say, Quit>;
using Actions = std::vector<Action>;

State make_state(NodeFacts facts, Instant now);

/// Ticks should come every 50 ms or so; heartbeats leave on the first Tick after they are due.
Actions step(State& state, const Event& event, Instant now);

}  // namespace trainyard::executor
