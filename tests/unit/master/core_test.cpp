#include "tests/unit/master/cluster.hpp"

namespace trainyard::master::test {

using protocol::ProcessState;

TEST_CASE("a job is recorded before it is answered, placed and launched", "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  const JobId id = cluster.submit(order());
  std::vector<std::string> kinds;
  for (const Action& action : cluster.last) {
    if (std::holds_alternative<Append>(action)) kinds.emplace_back("append");
    if (std::holds_alternative<Answer>(action)) kinds.emplace_back("answer");
    if (std::holds_alternative<Send>(action)) kinds.emplace_back("send");
  }
  CHECK(kinds == std::vector<std::string>{"append", "answer", "append", "send", "send", "send"});
  CHECK(cluster.sent<protocol::LaunchTask>().size() == 3);
  CHECK(cluster.job(id).state == JobState::starting);
}

TEST_CASE("the roster goes to all once the whole gang has registered, and names every address", "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  const JobId id = cluster.submit(order());
  cluster.join(cluster.key(id, Role::trainer, 0));
  CHECK(cluster.sent<protocol::Roster>().empty());
  cluster.join(cluster.key(id, Role::trainer, 1));
  CHECK(cluster.sent<protocol::Roster>().empty());
  cluster.join(cluster.key(id, Role::ps, 0));
  const auto rosters = cluster.sent<protocol::Roster>();
  REQUIRE(rosters.size() == 3);
  CHECK(rosters[0].second.members.size() == 3);
  CHECK(rosters[0].second.resume_step == 0);
  CHECK(cluster.job(id).state == JobState::running);
}

TEST_CASE("a task with a wrong secret, an old incarnation or an ended life is told to go", "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  const JobId id = cluster.submit(order());
  auto key = cluster.key(id, Role::trainer, 0);
  cluster.join(key, "guess");
  REQUIRE(cluster.sent<protocol::Refused>().size() == 1);
  CHECK(cluster.sent<protocol::Refused>()[0].second.final);
  key.incarnation = Incarnation{7};
  cluster.join(key);
  CHECK(cluster.sent<protocol::Refused>().size() == 1);
}

TEST_CASE("the chief hears at once that a shard could not write its part, and again after a reconnect",
          "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  const JobId id = cluster.submit(order(2, 2));
  cluster.gather(id);
  const auto chief = cluster.key(id, Role::trainer, 0);
  const auto first = cluster.key(id, Role::ps, 0), second = cluster.key(id, Role::ps, 1);
  const protocol::CheckpointFailed failed{first, 40, "/ck/step-40/ps-0.part: cannot write: No space left"};
  cluster.say(chief.task, protocol::CheckpointPart{chief, 40, "chief.part", 10, "00000000"});
  cluster.say(first.task, failed);
  auto told = cluster.sent<protocol::CheckpointFailed>();
  REQUIRE(told.size() == 1);
  CHECK(told[0] == std::pair(cluster.tasks.at(chief.task), failed));
  CHECK(cluster.job(id).events.back().kind == "checkpoint_failed");
  CHECK(cluster.job(id).events.back().text ==
        "no checkpoint at step 40: ps-0 could not write it: /ck/step-40/ps-0.part: cannot write: No space "
        "left");
  // The other parts make no checkpoint any more.
  cluster.say(second.task, protocol::CheckpointPart{second, 40, "ps-1.part", 10, "00000000"});
  CHECK(cluster.sent<protocol::CommitCheckpoint>().empty());
  CHECK(cluster.job(id).state == JobState::running);

  cluster.join(chief);
  told = cluster.sent<protocol::CheckpointFailed>();
  REQUIRE(told.size() == 1);
  CHECK(told[0].second == failed);
  cluster.join(cluster.key(id, Role::trainer, 1));
  CHECK(cluster.sent<protocol::CheckpointFailed>().empty());
}

TEST_CASE("of checkpoints that fail one after the other the first is an event, until one succeeds",
          "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  const JobId id = cluster.submit(order());
  cluster.gather(id);
  const auto chief = cluster.key(id, Role::trainer, 0), shard = cluster.key(id, Role::ps, 0);
  const auto lost = [&] {
    return std::count_if(cluster.records.begin(), cluster.records.end(),
                         [](const Record& r) { return std::holds_alternative<CheckpointLost>(r); });
  };
  cluster.say(shard.task, protocol::CheckpointFailed{shard, 10, "full"});
  cluster.say(shard.task, protocol::CheckpointFailed{shard, 20, "full"});
  cluster.say(chief.task, protocol::CheckpointFailed{chief, 30, "full"});
  CHECK(cluster.sent<protocol::CheckpointFailed>().empty());  // the chief knows
  CHECK(lost() == 1);
  cluster.say(chief.task, protocol::CheckpointWritten{chief, 40, 2, "step-40"});
  cluster.say(shard.task, protocol::CheckpointFailed{shard, 20, "full"});  // repeated after a reconnect
  CHECK(lost() == 1);
  CHECK(cluster.sent<protocol::CheckpointFailed>().empty());
  cluster.say(shard.task, protocol::CheckpointFailed{shard, 50, "full"});
  CHECK(lost() == 2);
  CHECK(cluster.job(id).checkpoint->step == 40);

  // What is remembered of it is in the records.
  State recovered;
  for (const Record& record : cluster.records) fold(recovered, record);
  CHECK(recovered.jobs.at(id).checkpoint_fails);
}

TEST_CASE("a killed trainer takes its gang down and the next incarnation resumes from the checkpoint",
          "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  const JobId id = cluster.submit(order());
  cluster.gather(id);
  const auto chief = cluster.key(id, Role::trainer, 0);
  const TaskId shard{id, Role::ps, 0};
  cluster.say(chief.task, protocol::CheckpointPart{chief, 40, "chief.part", 10, "00000000"});
  CHECK(cluster.sent<protocol::CommitCheckpoint>().empty());
  cluster.say(shard, protocol::CheckpointPart{cluster.key(id, Role::ps, 0), 40, "ps-0.part", 10, "00000000"});
  const auto commits = cluster.sent<protocol::CommitCheckpoint>();
  REQUIRE(commits.size() == 1);
  CHECK(commits[0].second.parts.size() == 2);
  cluster.say(chief.task, protocol::CheckpointWritten{chief, 40, 2, "step-40"});

  const auto victim = cluster.key(id, Role::trainer, 1);
  cluster.report(victim, ProcessState::exited, 0, 9);
  CHECK(cluster.sent<protocol::StopTask>().size() == 2);
  CHECK(cluster.sent<protocol::ForgetTask>().size() == 1);
  CHECK(cluster.job(id).state == JobState::stopping);
  CHECK(cluster.job(id).cause.find("trainer-1 on n1 was killed by signal 9") == 0);
  cluster.report(chief, ProcessState::exited, 143);
  CHECK(cluster.job(id).state == JobState::stopping);
  cluster.report(cluster.key(id, Role::ps, 0), ProcessState::exited, 0);
  CHECK(cluster.sent<protocol::LaunchTask>().size() == 3);
  CHECK(number(cluster.job(id).incarnation) == 2);
  cluster.gather(id);
  CHECK(cluster.job(id).cause.empty());  // it runs: what stopped it once stands in the events
  CHECK(cluster.sent<protocol::Roster>()[0].second.resume_step == 40);
  CHECK(cluster.sent<protocol::Roster>()[0].second.resume_directory == "step-40");

  // What the old life says now is refused.
  cluster.act(MessageReceived{cluster.tasks.at(victim.task), protocol::Progress{.key = victim, .step = 50}});
  CHECK(cluster.sent<protocol::Refused>().size() == 1);
}

TEST_CASE("a job whose task keeps failing fails, with the task's last words as its cause", "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  const JobId id = cluster.submit(order(1, 0));
  for (int life = 0; life < 3; ++life) {
    cluster.gather(id);
    cluster.report(cluster.key(id, Role::trainer, 0), ProcessState::exited, 1, 0,
                   {"2026-01-01T00:00:00.000Z error trainyard-trainer: disk full"});
    cluster.now += 60;
    cluster.heartbeat("n1");
    cluster.act(Tick{});
  }
  CHECK(cluster.job(id).state == JobState::failed);
  CHECK_THAT(cluster.job(id).cause,
             Catch::StartsWith("trainer-0 on n1 exited with code 1: disk full (failure 3"));
}

TEST_CASE("exit code 2 fails the job at once", "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  const JobId id = cluster.submit(order(1, 0));
  cluster.gather(id);
  cluster.report(cluster.key(id, Role::trainer, 0), ProcessState::exited, 2);
  CHECK(cluster.job(id).state == JobState::failed);
}

TEST_CASE("finished trainers end the job, and shards are dismissed", "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  const JobId id = cluster.submit(order());
  cluster.gather(id);
  const auto t0 = cluster.key(id, Role::trainer, 0), t1 = cluster.key(id, Role::trainer, 1);
  cluster.say(t1.task, protocol::Finished{t1, {}, false});
  CHECK(cluster.sent<protocol::Dismiss>().empty());
  cluster.say(t0.task, protocol::Finished{t0, {{"test/accuracy", 0.8}}, false});
  CHECK(cluster.sent<protocol::Dismiss>().size() == 1);
  for (const auto& key : {t0, t1, cluster.key(id, Role::ps, 0)}) cluster.report(key, ProcessState::exited, 0);
  CHECK(cluster.job(id).state == JobState::succeeded);
  CHECK(cluster.job(id).result.at("test/accuracy") == 0.8);
}

TEST_CASE("a cancelled job saves first, then ends; cancelled twice is once", "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  const JobId id = cluster.submit(order());
  cluster.gather(id);
  cluster.act(CancelAsked{5, id});
  CHECK(cluster.sent<protocol::StopTraining>().size() == 2);
  CHECK(cluster.sent<protocol::StopTask>().empty());
  cluster.act(CancelAsked{6, id});
  CHECK(cluster.sent<protocol::StopTraining>().empty());
  const auto t0 = cluster.key(id, Role::trainer, 0), t1 = cluster.key(id, Role::trainer, 1);
  cluster.say(t0.task, protocol::CheckpointWritten{t0, 12, 1, "step-12"});
  cluster.say(t0.task, protocol::Finished{t0, {}, true});
  cluster.say(t1.task, protocol::Finished{t1, {}, true});
  CHECK(cluster.sent<protocol::Dismiss>().size() == 1);
  for (const auto& key : {t0, t1, cluster.key(id, Role::ps, 0)}) cluster.report(key, ProcessState::exited, 0);
  CHECK(cluster.job(id).state == JobState::cancelled);
  CHECK(cluster.job(id).cause == "cancelled; saved at step 12");
}

TEST_CASE("a silent node is unreachable first, then lost, and its gang starts elsewhere", "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  const JobId id = cluster.submit(order());
  cluster.gather(id);
  cluster.add(node("n2"));
  for (int second = 0; second < 29; ++second) {
    cluster.now += 1;
    cluster.heartbeat("n2");
    cluster.act(Tick{});
  }
  CHECK(cluster.state.nodes.at("n1").state == NodeState::unreachable);
  CHECK(cluster.job(id).state == JobState::running);
  cluster.now += 3;
  cluster.heartbeat("n2");
  cluster.act(Tick{});
  CHECK(cluster.state.nodes.at("n1").state == NodeState::lost);
  CHECK(number(cluster.job(id).incarnation) == 2);
  for (const auto& [task, value] : cluster.job(id).tasks) CHECK(value.node == "n2");
  // The old processes are still there when the node is back: they are stopped, not believed.
  cluster.heartbeat("n1");
  CHECK(cluster.sent<protocol::StopTask>().size() == 3);
  CHECK(cluster.state.nodes.at("n1").state == NodeState::ready);
}

TEST_CASE("most nodes silent at once are not given up: the master is cut off", "[master]") {
  Cluster cluster;
  for (const char* name : {"n1", "n2", "n3"}) cluster.add(node(name));
  cluster.now += 40;
  cluster.act(Tick{});
  for (const auto& [name, node] : cluster.state.nodes) CHECK(node.state == NodeState::unreachable);
  cluster.now += 100;
  cluster.act(Tick{});
  for (const auto& [name, node] : cluster.state.nodes) CHECK(node.state == NodeState::lost);
}

TEST_CASE("a restarted master disturbs nothing: the gang registers again and goes on", "[master]") {
  Cluster before;
  before.add(node("n1"));
  const JobId id = before.submit(order());
  before.gather(id);

  Cluster after;
  after.state = State{};
  for (const Record& record : before.records) {
    const auto copy = decode_record(encode(record));
    REQUIRE(copy.has_value());
    fold(after.state, *copy);
  }
  after.records.clear();
  after.now = 10;
  after.act(Recovered{"other"});
  CHECK(after.state.identity == "cluster-1");
  CHECK(after.job(id).state == JobState::running);
  // Nothing is placed while nodes may still come back.
  const JobId second = after.submit(order(1, 0));
  CHECK(after.job(second).pending_reason.find("waits for its nodes") != std::string::npos);
  CHECK(number(second) == number(id) + 1);

  auto message = node("n1");
  for (const auto& [task, value] : after.job(id).tasks) {
    message.tasks.push_back({.key = {task, value.incarnation}, .state = ProcessState::running, .pid = 5});
  }
  after.add(message);
  CHECK(after.sent<protocol::StopTask>().empty());
  CHECK_FALSE(after.state.recovering_until.has_value());
  after.join(after.key(id, Role::trainer, 0));
  CHECK(after.sent<protocol::Roster>().size() == 1);
  CHECK(after.job(id).incarnation == Incarnation{1});
}

TEST_CASE("a task that its node does not know any more is lost", "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  const JobId id = cluster.submit(order(1, 0));
  cluster.gather(id);
  cluster.reports["n1"].clear();
  cluster.heartbeat("n1");
  CHECK(cluster.job(id).cause.find("trainer-0 on n1 is gone") == 0);
  CHECK(number(cluster.job(id).incarnation) == 2);
}

TEST_CASE("a launch that was lost is sent again", "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  cluster.submit(order(1, 0));
  cluster.heartbeat("n1");
  CHECK(cluster.sent<protocol::LaunchTask>().empty());
  cluster.now += 1.5;
  cluster.heartbeat("n1");
  CHECK(cluster.sent<protocol::LaunchTask>().size() == 1);
}

TEST_CASE("a gang that does not gather in time says who is missing", "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  const JobId id = cluster.submit(order());
  for (const auto& [task, value] : std::map(cluster.job(id).tasks)) {
    cluster.report({task, value.incarnation}, ProcessState::running);
  }
  cluster.join(cluster.key(id, Role::trainer, 0));
  for (int second = 0; second < 62; ++second) {
    cluster.now += 1;
    cluster.heartbeat("n1");
    cluster.act(Tick{});
  }
  CHECK(cluster.job(id).state == JobState::stopping);
  CHECK_THAT(cluster.job(id).cause,
             Catch::Contains("ps-0 on n1 (its process runs)") && Catch::Contains("trainer-1"));
}

TEST_CASE("what no node could ever hold is refused, with the nearest shape", "[master]") {
  Cluster cluster;
  cluster.add(node("n1", 4, 1));
  JobOrder wanted = order(1, 0);
  wanted.roles[0].each.gpus = 4;
  cluster.act(JobSubmitted{.request = 1, .order = wanted, .secret = "s"});
  const auto* answer = cluster.find<Answer>();
  REQUIRE(answer != nullptr);
  REQUIRE(std::holds_alternative<Error>(answer->reply));
  CHECK(std::get<Error>(answer->reply).code == Errc::refused);
  CHECK(std::get<Error>(answer->reply).message.find("4 GPUs") != std::string::npos);
  CHECK(std::get<Error>(answer->reply).message.find("n1") != std::string::npos);
  CHECK(cluster.state.jobs.empty());
}

TEST_CASE("two nodes of one name: the second waits", "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  auto twin = node("n1");
  twin.session = 2;
  cluster.act(MessageReceived{PeerId{99}, twin});
  REQUIRE(cluster.sent<protocol::Refused>().size() == 1);
  CHECK_FALSE(cluster.sent<protocol::Refused>()[0].second.final);
}

TEST_CASE("a master that shuts down saves its gangs; they start again later", "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  const JobId id = cluster.submit(order(1, 0));
  cluster.gather(id);
  cluster.act(ShutdownAsked{3, true});
  CHECK(cluster.sent<protocol::StopTraining>().size() == 1);
  CHECK(cluster.find<Quit>() == nullptr);
  const auto chief = cluster.key(id, Role::trainer, 0);
  cluster.say(chief.task, protocol::CheckpointWritten{chief, 9, 1, "step-9"});
  cluster.say(chief.task, protocol::Finished{chief, {}, true});
  cluster.report(chief, ProcessState::exited, 0);
  CHECK(cluster.job(id).state == JobState::pending);
  CHECK(cluster.job(id).restarts == 0);
  cluster.act(Tick{});
  CHECK(cluster.find<Quit>() != nullptr);
}

}  // namespace trainyard::master::test
