#include "daemons/master/records.hpp"

#include <catch2/catch.hpp>

#include "common/base/random.hpp"

namespace trainyard::master {

namespace {

std::vector<Record> samples() {
  const TaskId task{JobId{3}, Role::ps, 1};
  const protocol::TaskKey key{task, Incarnation{2}};
  JobOrder order{.name = "a \"b\"\n\xc3\xa4",
                 .kind = "train",
                 .queue = "q",
                 .priority = 7,
                 .restarts = 9,
                 .yaml = "x: 1\n"};
  order.roles = {{Role::trainer, 2, {1500, 1ull << 40, 3}}};
  order.require = {{"zone", "a"}};
  order.spread = true;
  order.time_limit_ms = 5000;
  order.epochs = 20;
  order.replicas = 1;
  return {ClusterFounded{"id"},
          IdsUsed{99},
          JobAccepted{JobId{3}, order, "secret", 123},
          GangPlaced{JobId{3}, Incarnation{2}, {{task, "n1", {0, 2}}}, 5},
          GangComplete{JobId{3}, Incarnation{2}, {{task, "127.0.0.1:5"}}, 6},
          FirstStepDone{JobId{3}, 7},
          EpochDone{JobId{3}, 2, 40, {{"train/loss", 0.125}}},
          RecordsSkipped{JobId{3}, 2, {"a: broken"}, 8},
          CheckpointCommitted{JobId{3}, 40, 2, "step-40", 9},
          TrainerFinished{key, {{"test/accuracy", 0.75}}, true, 10},
          StopDecided{JobId{3}, Stop::cancel, "because", {task}, 11},
          TaskEnded{key, TaskEnd::lost, 1, 9, 1ull << 33, "cause", {"line"}, 12, 4711},
          GangDissolved{JobId{3}, 13},
          JobEnded{JobId{3}, JobEnd::failed, "cause", 14},
          JobForgotten{JobId{3}},
          CheckpointLost{JobId{3}, 40, task, "disk full", 15},
          ShardMoved{JobId{3}, task, {JobId{3}, Role::ps, 3}, 2, 16}};
}

}  // namespace

TEST_CASE("every record comes back from its text", "[master]") {
  const auto all = samples();
  REQUIRE(all.size() == std::variant_size_v<Record>);
  for (std::size_t i = 0; i < all.size(); ++i) {
    REQUIRE(all[i].index() == i);
    const auto back = decode_record(encode(all[i]));
    REQUIRE(back.has_value());
    CHECK(*back == all[i]);
    CHECK(number(job_of(*back)) == (i < 2 ? 0u : 3u));
  }
}

TEST_CASE("damaged records are errors, never crashes", "[master]") {
  Random random(5);
  for (const Record& record : samples()) {
    const std::string text = encode(record);
    for (int round = 0; round < 200; ++round) {
      std::string broken = text;
      for (std::uint64_t n = 1 + random.below(3); n-- > 0;)
        broken[random.below(broken.size())] = static_cast<char>(random.below(256));
      (void)decode_record(broken);
    }
  }
  CHECK_FALSE(decode_record("{}"));
  CHECK_FALSE(decode_record("[1]"));
  CHECK(decode_record(R"({"record":"from_the_future"})").error().message ==
        "record 'from_the_future' is not known to this release");
  CHECK(decode_record(R"({"record":"job_ended","job":"x"})").error().message.find("job") !=
        std::string::npos);
}

}  // namespace trainyard::master
