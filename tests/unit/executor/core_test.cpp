// The executor's decisions: state, event, expectation. What it sends to the master is part of each.
#include "daemons/executor/core.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace trainyard;
using namespace trainyard::executor;
using protocol::ProcessState;

namespace {

constexpr TaskKey trainer(std::uint32_t incarnation) {
  return {{JobId{3}, Role::trainer, 0}, Incarnation{incarnation}};
}

Instant at(Duration since) { return {Time{} + since, 0}; }

/// An executor whose time goes on by hand.
class Node {
 public:
  explicit Node(Duration orphan_after = 0s) {
    state_ = make_state({.node = "n1",
                         .session = 7,
                         .address = "127.0.0.1",
                         .capacity = {4000, 1 << 30, 2},
                         .orphan_after = orphan_after,
                         .stop_grace = 10s},
                        at(0s));
  }
  static Node registered(const std::string& cluster = "c1") {
    Node node;
    node.join(cluster);
    return node;
  }
  void join(const std::string& cluster = "c1") {
    tell(SessionOpened{});
    hear(protocol::Registered{250, cluster});
  }
  Actions tell(const Event& event) { return step(state_, event, at(now_)); }
  Actions hear(protocol::Message message) { return tell(MessageReceived{std::move(message)}); }
  Actions wait(Duration duration) {
    now_ += duration;
    return tell(Tick{});
  }
  void run(const TaskKey& key, std::int32_t pid = 100) {
    hear(protocol::LaunchTask{.key = key});
    tell(TaskStarted{key, pid});
  }
  std::vector<protocol::TaskReport> reports() {
    std::vector<protocol::TaskReport> all;
    for (const Action& action : wait(10s)) {
      const auto* send = std::get_if<Send>(&action);
      if (send == nullptr) continue;
      if (const auto* beat = std::get_if<protocol::Heartbeat>(&send->message)) all = beat->tasks;
    }
    return all;
  }

 private:
  State state_;
  Duration now_ = 0s;
};

/// Without what goes to the log or the master: the effects on processes and directories.
Actions effects(const Actions& actions) {
  Actions some;
  std::copy_if(actions.begin(), actions.end(), std::back_inserter(some), [](const Action& action) {
    return !std::holds_alternative<Say>(action) && !std::holds_alternative<Send>(action);
  });
  return some;
}

template <typename M>
std::vector<M> sent(const Actions& actions) {
  std::vector<M> all;
  for (const Action& action : actions) {
    if (const auto* send = std::get_if<Send>(&action)) {
      if (const auto* message = std::get_if<M>(&send->message)) all.push_back(*message);
    }
  }
  return all;
}

}  // namespace

TEST_CASE("a node registers when it is connected, and again until the master answers", "[executor]") {
  Node node;
  CHECK(node.wait(5s).empty());
  const auto first = sent<protocol::RegisterNode>(node.tell(SessionOpened{}));
  REQUIRE(first.size() == 1);
  CHECK(first[0].node == "n1");
  CHECK(first[0].session == 7);
  CHECK(first[0].capacity == protocol::ResourceSet{4000, 1 << 30, 2});
  CHECK(node.wait(500ms).empty());
  CHECK(sent<protocol::RegisterNode>(node.wait(500ms)).size() == 1);
  node.hear(protocol::Registered{250, "c1"});
  CHECK(node.wait(200ms).empty());
  CHECK(sent<protocol::Heartbeat>(node.wait(50ms)).size() == 1);
}

TEST_CASE("a launch that comes twice starts one process", "[executor]") {
  Node node = Node::registered();
  const protocol::LaunchTask launch{.key = trainer(1), .gpus = {1}};
  CHECK(effects(node.hear(launch)) == Actions{Spawn{launch, "c1"}});
  CHECK(effects(node.hear(launch)).empty());
  node.tell(TaskStarted{trainer(1), 100});
  CHECK(effects(node.hear(launch)).empty());
  node.tell(TaskExited{.key = trainer(1), .exit_code = 1});
  CHECK(effects(node.hear(launch)).empty());
  CHECK(effects(node.hear(protocol::ForgetTask{trainer(1)})) == Actions{Remove{trainer(1)}});
  CHECK(effects(node.hear(launch)).empty());
}

TEST_CASE("a launch before the registration is not heard", "[executor]") {
  Node node;
  node.tell(SessionOpened{});
  CHECK(effects(node.hear(protocol::LaunchTask{.key = trainer(1)})).empty());
}

TEST_CASE("a GPU that the node does not have is an exit with a reason", "[executor]") {
  Node node = Node::registered();
  CHECK(effects(node.hear(protocol::LaunchTask{.key = trainer(1), .gpus = {2}})).empty());
  const auto reports = node.reports();
  REQUIRE(reports.size() == 1);
  CHECK(reports[0].state == ProcessState::exited);
  CHECK(reports[0].error == "GPU 2 was granted, but n1 has 2 GPUs");
}

TEST_CASE("a newer life waits for the older one to end", "[executor]") {
  Node node = Node::registered();
  node.run(trainer(1));
  const protocol::LaunchTask second{.key = trainer(2)};
  CHECK(effects(node.hear(second)) == Actions{Stop{trainer(1), 10s}});
  CHECK(effects(node.hear(second)).empty());
  CHECK(effects(node.tell(TaskExited{.key = trainer(1), .signal = 15})) == Actions{Spawn{second, "c1"}});
}

TEST_CASE("an older life is refused for good", "[executor]") {
  Node node = Node::registered();
  node.run(trainer(2));
  CHECK(effects(node.hear(protocol::LaunchTask{.key = trainer(1)})).empty());
  CHECK(node.reports().size() == 1);
}

TEST_CASE("of three lives the one in between never runs", "[executor]") {
  Node node = Node::registered();
  node.run(trainer(1));
  node.hear(protocol::LaunchTask{.key = trainer(2)});
  CHECK(effects(node.hear(protocol::LaunchTask{.key = trainer(3)})).empty());
  const auto spawned = effects(node.tell(TaskExited{.key = trainer(1)}));
  CHECK(spawned == Actions{Spawn{protocol::LaunchTask{.key = trainer(3)}, "c1"}});
  const auto reports = node.reports();
  REQUIRE(reports.size() == 3);
  CHECK(reports[1].error == "stopped before it was started");
}

TEST_CASE("a stop is asked once, a harder one again, and a deaf shim is killed", "[executor]") {
  Node node = Node::registered();
  node.run(trainer(1));
  CHECK(effects(node.hear(protocol::StopTask{trainer(1), 4000})) == Actions{Stop{trainer(1), 4s}});
  CHECK(effects(node.hear(protocol::StopTask{trainer(1), 60'000})).empty());
  CHECK(effects(node.hear(protocol::StopTask{trainer(1), 0})) == Actions{Stop{trainer(1), 0s}});
  CHECK(effects(node.wait(destroy_after - 50ms)).empty());
  CHECK(effects(node.wait(50ms)) == Actions{Destroy{trainer(1)}});
  CHECK(effects(node.wait(50ms)).empty());
  CHECK(effects(node.wait(destroy_after)) == Actions{Destroy{trainer(1)}});
}

TEST_CASE("an exit is reported at once and kept until the master forgets it", "[executor]") {
  Node node = Node::registered();
  node.run(trainer(1));
  const auto beats = sent<protocol::Heartbeat>(
      node.tell(TaskExited{.key = trainer(1), .exit_code = 3, .last_lines = {"out of luck"}}));
  REQUIRE(beats.size() == 1);
  REQUIRE(beats[0].tasks.size() == 1);
  CHECK(beats[0].tasks[0].exit_code == 3);
  CHECK(beats[0].tasks[0].last_lines == std::vector<std::string>{"out of luck"});
  node.tell(SessionClosed{});
  const auto again = sent<protocol::RegisterNode>(node.tell(SessionOpened{}));
  REQUIRE(again.size() == 1);
  CHECK(again[0].tasks == beats[0].tasks);
  node.hear(protocol::Registered{250, "c1"});
  node.hear(protocol::ForgetTask{trainer(1)});
  CHECK(node.reports().empty());
}

TEST_CASE("to forget a task that runs is to end it", "[executor]") {
  Node node = Node::registered();
  node.run(trainer(1));
  CHECK(effects(node.hear(protocol::ForgetTask{trainer(1)})) == Actions{Stop{trainer(1), 0s}});
  CHECK(node.reports().empty());
  CHECK(effects(node.tell(TaskExited{.key = trainer(1), .signal = 9})) == Actions{Remove{trainer(1)}});
}

TEST_CASE("a restarted executor reports what it finds and does not start it again", "[executor]") {
  Node node;
  node.tell(TaskFound{{.key = trainer(4), .state = ProcessState::running, .pid = 55}, "c1"});
  node.tell(TaskRemembered{{{JobId{3}, Role::ps, 0}, Incarnation{4}}, "c1"});
  const auto registration = sent<protocol::RegisterNode>(node.tell(SessionOpened{}));
  REQUIRE(registration.size() == 1);
  REQUIRE(registration[0].tasks.size() == 1);
  CHECK(registration[0].tasks[0].pid == 55);
  CHECK(effects(node.hear(protocol::Registered{250, "c1"})).empty());
  CHECK(effects(node.hear(protocol::LaunchTask{.key = trainer(4)})).empty());
  const TaskKey forgotten{{JobId{3}, Role::ps, 0}, Incarnation{4}};
  CHECK(effects(node.hear(protocol::LaunchTask{.key = forgotten})).empty());
}

TEST_CASE("the processes of another master are stopped before its numbers are used again", "[executor]") {
  Node node = Node::registered("old");
  node.run(trainer(1));
  node.tell(SessionClosed{});
  node.tell(SessionOpened{});
  CHECK(effects(node.hear(protocol::Registered{250, "new"})) == Actions{Stop{trainer(1), 10s}});
  const protocol::LaunchTask same{.key = trainer(1), .job_name = "other"};
  CHECK(effects(node.hear(same)).empty());
  CHECK(node.reports().empty());
  CHECK(effects(node.tell(TaskExited{.key = trainer(1), .signal = 15})) ==
        Actions{Remove{trainer(1)}, Spawn{same, "new"}});
}

TEST_CASE("a launch that waits is dropped when a third master comes", "[executor]") {
  Node node = Node::registered("old");
  node.run(trainer(1));
  node.join("new");
  node.hear(protocol::LaunchTask{.key = trainer(1)});
  node.join("newest");
  CHECK(effects(node.tell(TaskExited{.key = trainer(1), .signal = 15})) == Actions{Remove{trainer(1)}});
}

TEST_CASE("without a master for too long tasks are stopped, once", "[executor]") {
  Node node(30s);
  node.join();
  node.run(trainer(1));
  node.tell(SessionClosed{});
  CHECK(effects(node.wait(29s)).empty());
  CHECK(effects(node.wait(1s)) == Actions{Stop{trainer(1), 10s}});
  CHECK(effects(node.wait(1s)).empty());
}

TEST_CASE("by default tasks run on without a master", "[executor]") {
  Node node = Node::registered();
  node.run(trainer(1));
  node.tell(SessionClosed{});
  CHECK(effects(node.wait(24h)).empty());
}

TEST_CASE("a final refusal ends the executor, another one does not", "[executor]") {
  Node node;
  node.tell(SessionOpened{});
  CHECK(effects(node.hear(protocol::Refused{"not now", false})).empty());
  CHECK(sent<protocol::RegisterNode>(node.wait(1s)).size() == 1);
  CHECK(effects(node.hear(protocol::Refused{"wrong version", true})) == Actions{Quit{"wrong version"}});
}
