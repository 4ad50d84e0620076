// A master's core with its world played by hand: nodes, tasks, messages that went out.
#pragma once

#include <catch2/catch.hpp>
#include <optional>

#include "common/base/text.hpp"
#include "daemons/master/core.hpp"

namespace trainyard::master::test {

inline constexpr std::uint64_t gib = std::uint64_t{1} << 30;

inline JobOrder order(std::uint32_t trainers = 2, std::uint32_t shards = 1) {
  JobOrder out{.name = "flowers",
               .restarts = 2,
               .output_dir = "/out",
               .checkpoint_dir = "/out/checkpoints",
               .yaml = "yaml"};
  out.roles = {{Role::trainer, trainers, {1000, gib, 0}}, {Role::ps, shards, {500, gib / 4, 0}}};
  return out;
}

inline protocol::RegisterNode node(const std::string& name, std::uint64_t cpus = 4, std::uint32_t gpus = 0) {
  return {.node = name,
          .session = 1,
          .version = protocol::version,
          .address = "127.0.0.1",
          .capacity = {cpus * 1000, 8 * gib, gpus}};
}

/// The cluster; times are in seconds since its start.
struct Cluster {
  State state;
  double now = 0;
  std::uint64_t next_peer = 1;
  Actions last;
  std::vector<Record> records;
  std::map<NodeName, PeerId> nodes;
  std::map<NodeName, protocol::RegisterNode> registered;
  std::map<TaskId, PeerId> tasks;
  std::map<NodeName, std::vector<protocol::TaskReport>> reports;

  Cluster() { act(Recovered{"cluster-1"}); }

  Instant at() const {
    const auto nanoseconds = static_cast<std::int64_t>(now * 1e9);
    return {Time{} + std::chrono::hours(1) + Duration(nanoseconds),
            static_cast<WallMillis>(now * 1000) + 1'000'000};
  }
  const Actions& act(const Event& event) {
    last = step(state, event, at());
    for (const Action& action : last) {
      if (const auto* append = std::get_if<Append>(&action)) records.push_back(append->record);
    }
    return last;
  }
  void add(const protocol::RegisterNode& message) {
    const PeerId peer{next_peer++};
    nodes[message.node] = peer;
    registered[message.node] = message;
    act(MessageReceived{peer, message});
  }
  JobId submit(const JobOrder& wanted) {
    act(JobSubmitted{.request = 77, .order = wanted, .secret = "secret"});
    const auto* answer = find<Answer>();
    REQUIRE(answer != nullptr);
    const auto* accepted = std::get_if<Accepted>(&answer->reply);
    REQUIRE(accepted != nullptr);
    return accepted->job;
  }
  template <typename A>
  const A* find() const {
    for (const Action& action : last) {
      if (const auto* found = std::get_if<A>(&action)) return found;
    }
    return nullptr;
  }
  /// All messages of a kind that left in the last step, with the peer.
  template <typename M>
  std::vector<std::pair<PeerId, M>> sent() const {
    std::vector<std::pair<PeerId, M>> out;
    for (const Action& action : last) {
      const auto* send = std::get_if<Send>(&action);
      if (send == nullptr) continue;
      if (const auto* message = std::get_if<M>(&send->message)) out.emplace_back(send->peer, *message);
    }
    return out;
  }
  Job& job(JobId id) { return state.jobs.at(id); }
  protocol::TaskKey key(JobId id, Role role, std::uint32_t index) {
    const TaskId task{id, role, index};
    return {task, job(id).tasks.at(task).incarnation};
  }
  /// The node reports its tasks, this one in the given state.
  void report(const protocol::TaskKey& task, protocol::ProcessState process, int exit_code = 0,
              int signal = 0, std::vector<std::string> lines = {}) {
    const NodeName where = job(task.task.job).tasks.at(task.task).node;
    auto& all = reports[where];
    std::erase_if(all, [&](const auto& one) { return one.key == task; });
    all.push_back({.key = task,
                   .state = process,
                   .pid = 100,
                   .exit_code = exit_code,
                   .signal = signal,
                   .last_lines = lines});
    heartbeat(where);
    for (const auto& [peer, forget] : sent<protocol::ForgetTask>()) {
      std::erase_if(all, [&](const auto& one) { return one.key == forget.key; });
    }
  }
  void heartbeat(const NodeName& where) {
    act(MessageReceived{nodes.at(where),
                        protocol::Heartbeat{where, registered.at(where).session, reports[where]}});
  }
  PeerId join(const protocol::TaskKey& task, const std::string& secret = "secret") {
    const PeerId peer{next_peer++};
    tasks[task.task] = peer;
    act(MessageReceived{peer, protocol::RegisterTask{task, secret, "127.0.0.1:9", 100}});
    return peer;
  }
  template <typename M>
  void say(const TaskId& task, M message) {
    act(MessageReceived{tasks.at(task), std::move(message)});
  }
  /// Starts and registers the whole gang.
  void gather(JobId id) {
    std::vector<protocol::TaskKey> keys;
    for (const auto& [task, value] : job(id).tasks) keys.push_back({task, value.incarnation});
    for (const auto& one : keys) report(one, protocol::ProcessState::running);
    for (const auto& one : keys) join(one);
  }
};

}  // namespace trainyard::master::test
