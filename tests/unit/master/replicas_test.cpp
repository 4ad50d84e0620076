// What the master does with a gang whose shards have followers.
#include "daemons/master/scheduler.hpp"
#include "tests/unit/master/cluster.hpp"

namespace trainyard::master::test {

using protocol::ProcessState;

namespace {

/// Two trainers, two shards, a follower each.
JobOrder replicated() {
  JobOrder wanted = order(2, 4);
  wanted.replicas = 1;
  return wanted;
}

std::map<std::string, bool> shards_in(const protocol::Roster& roster) {
  std::map<std::string, bool> out;
  for (const protocol::Member& member : roster.members)
    if (member.task.role == Role::ps) out[name(member.task)] = member.follows;
  return out;
}

protocol::CheckpointPart part(const protocol::TaskKey& key, const std::string& file) {
  return {key, 40, file, 10, "00000000"};
}

}  // namespace

TEST_CASE("the roster says who follows whom", "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  const JobId id = cluster.submit(replicated());
  cluster.gather(id);
  const auto rosters = cluster.sent<protocol::Roster>();
  REQUIRE(rosters.size() == 6);
  CHECK(rosters[0].second.epoch == 0);
  CHECK(shards_in(rosters[0].second) ==
        std::map<std::string, bool>{{"ps-0", false}, {"ps-1", false}, {"ps-2", true}, {"ps-3", true}});
}

TEST_CASE("a follower takes over from its shard, and everybody hears where it is", "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  const JobId id = cluster.submit(replicated());
  cluster.gather(id);
  cluster.report(cluster.key(id, Role::ps, 0), ProcessState::exited, 0, 9);
  CHECK(cluster.job(id).state == JobState::running);
  CHECK(cluster.sent<protocol::StopTask>().empty());
  auto rosters = cluster.sent<protocol::Roster>();
  REQUIRE(rosters.size() == 5);
  CHECK(rosters[0].second.epoch == 1);
  CHECK(shards_in(rosters[0].second) ==
        std::map<std::string, bool>{{"ps-1", false}, {"ps-2", false}, {"ps-3", true}});
  CHECK(cluster.job(id).events.back().text == "ps-2 takes over from ps-0");

  SECTION("a follower that dies leaves its shard alone") {
    cluster.report(cluster.key(id, Role::ps, 3), ProcessState::exited, 0, 9);
    rosters = cluster.sent<protocol::Roster>();
    REQUIRE(rosters.size() == 4);
    CHECK(rosters[0].second.epoch == 2);
    CHECK(shards_in(rosters[0].second) == std::map<std::string, bool>{{"ps-1", false}, {"ps-2", false}});
    CHECK(cluster.job(id).state == JobState::running);
  }
  SECTION("without either half the gang starts again") {
    cluster.report(cluster.key(id, Role::ps, 2), ProcessState::exited, 0, 9);
    CHECK(cluster.job(id).state == JobState::stopping);
    CHECK(cluster.job(id).stop == Stop::restart);
  }
  SECTION("who registers again, and a master that was restarted, know of it") {
    cluster.join(cluster.key(id, Role::trainer, 1));
    rosters = cluster.sent<protocol::Roster>();
    REQUIRE(rosters.size() == 1);
    CHECK(rosters[0].second.epoch == 1);
    State recovered;
    for (const Record& record : cluster.records) fold(recovered, record);
    CHECK(recovered.jobs.at(id).epoch == 1);
    CHECK(owner_of(recovered.jobs.at(id), id, 0) == TaskId{id, Role::ps, 2});
  }
  SECTION("a checkpoint needs a part of each shard, of whichever half") {
    const auto chief = cluster.key(id, Role::trainer, 0);
    cluster.say(chief.task, part(chief, "chief.part"));
    const auto second = cluster.key(id, Role::ps, 1), heir = cluster.key(id, Role::ps, 2);
    cluster.say(second.task, part(second, "ps-1.part"));
    CHECK(cluster.sent<protocol::CommitCheckpoint>().empty());
    cluster.say(heir.task, part(heir, "ps-0.part"));
    const auto commits = cluster.sent<protocol::CommitCheckpoint>();
    REQUIRE(commits.size() == 1);
    CHECK(commits[0].second.parts.size() == 3);
  }
}

TEST_CASE("a shard that dies before the gang is complete takes it down", "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  const JobId id = cluster.submit(replicated());
  cluster.report(cluster.key(id, Role::ps, 0), ProcessState::exited, 1);
  CHECK(cluster.job(id).state == JobState::stopping);
}

TEST_CASE("the next life of the gang begins with all halves again", "[master]") {
  Cluster cluster;
  cluster.add(node("n1"));
  const JobId id = cluster.submit(replicated());
  cluster.gather(id);
  cluster.report(cluster.key(id, Role::ps, 0), ProcessState::exited, 0, 9);
  cluster.report(cluster.key(id, Role::trainer, 1), ProcessState::exited, 0, 9);
  for (const std::uint32_t shard : {1u, 2u, 3u})
    cluster.report(cluster.key(id, Role::ps, shard), ProcessState::exited, 0);
  cluster.report(cluster.key(id, Role::trainer, 0), ProcessState::exited, 143);
  cluster.gather(id);
  CHECK(cluster.job(id).epoch == 0);
  CHECK(cluster.job(id).tasks.size() == 6);
  CHECK(cluster.job(id).restarts == 1);
}

TEST_CASE("a follower is placed apart from its shard where there is a choice", "[master]") {
  const auto node_of = [](const std::vector<Placed>& plan, std::uint32_t index) {
    for (const Placed& placed : plan)
      if (placed.task.role == Role::ps && placed.task.index == index) return placed.node;
    return NodeName();
  };
  const auto offer = [](const char* node) {
    return Offer{node, {.cpu_millis = 16'000, .memory = 64ull << 30}, {}, {}};
  };
  const auto apart = std::get<std::vector<Placed>>(place(JobId{1}, replicated(), {offer("a"), offer("b")}));
  CHECK(node_of(apart, 0) != node_of(apart, 2));
  CHECK(node_of(apart, 1) != node_of(apart, 3));
  CHECK(std::holds_alternative<std::vector<Placed>>(place(JobId{1}, replicated(), {offer("a")})));
}

}  // namespace trainyard::master::test
