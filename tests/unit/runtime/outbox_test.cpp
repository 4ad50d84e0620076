// What a task tells its master again when the line was down: Outbox, of member.hpp.
#include <catch2/catch.hpp>

#include "common/runtime/member.hpp"

using namespace trainyard;
using namespace trainyard::protocol;
using runtime::Outbox;

namespace {

const TaskKey key{{JobId{3}, Role::trainer, 0}, Incarnation{2}};

Progress progress(std::uint64_t step, const char* phase = "train") {
  return {.key = key, .phase = phase, .epoch = step / 10, .step = step};
}
PartitionDone done(std::uint32_t index) { return {key, {1, index, 0}, 32, {}, 0}; }

}  // namespace

TEST_CASE("an outbox that heard nothing repeats nothing", "[runtime]") { CHECK(Outbox{}.all().empty()); }

TEST_CASE("of each kind of report the newest is repeated, in the order a new master wants them",
          "[runtime]") {
  Outbox outbox;
  outbox.add(Finished{key, {{"test/accuracy", 0.5}}, false});
  for (const std::uint64_t step : {10u, 20u}) {
    outbox.add(progress(step));
    outbox.add(CheckpointPart{key, step, "chief.part", 1, "00000000"});
    outbox.add(CheckpointWritten{key, step, 1, "directory"});
    outbox.add(RequestPartition{key, 0, static_cast<std::uint32_t>(step)});
  }
  outbox.add(done(7));
  CHECK(outbox.all() == std::vector<Message>{done(7), RequestPartition{key, 0, 20},
                                             CheckpointPart{key, 20, "chief.part", 1, "00000000"},
                                             CheckpointWritten{key, 20, 1, "directory"}, progress(20),
                                             Finished{key, {{"test/accuracy", 0.5}}, false}});
}

TEST_CASE("of a checkpoint's part the newest outcome is repeated, good or bad", "[runtime]") {
  Outbox outbox;
  outbox.add(CheckpointPart{key, 10, "ps-0.part", 1, "00000000"});
  outbox.add(CheckpointFailed{key, 20, "disk full"});
  CHECK(outbox.all() == std::vector<Message>{CheckpointFailed{key, 20, "disk full"}});
  outbox.add(CheckpointPart{key, 30, "ps-0.part", 1, "00000000"});
  CHECK(outbox.all() == std::vector<Message>{CheckpointPart{key, 30, "ps-0.part", 1, "00000000"}});
}

TEST_CASE("every epoch that ended is repeated, before the progress that came after", "[runtime]") {
  Outbox outbox;
  outbox.add(progress(10, "evaluate"));
  outbox.add(progress(20, "evaluate"));
  outbox.add(progress(21));
  CHECK(outbox.all() ==
        std::vector<Message>{progress(10, "evaluate"), progress(20, "evaluate"), progress(21)});
}

TEST_CASE("what is kept is bounded, and the oldest goes first", "[runtime]") {
  Outbox outbox;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    outbox.add(done(i));
    outbox.add(progress(i, "evaluate"));
  }
  const auto all = outbox.all();
  REQUIRE(all.size() == Outbox::partitions_max + Outbox::epochs_max + 1);
  CHECK(all.front() == Message{done(1000 - Outbox::partitions_max)});
  CHECK(all[Outbox::partitions_max - 1] == Message{done(999)});
  CHECK(all[Outbox::partitions_max] == Message{progress(1000 - Outbox::epochs_max, "evaluate")});
}

TEST_CASE("a request is repeated until its own partition is granted", "[runtime]") {
  Outbox outbox;
  outbox.add(RequestPartition{key, 4, 2});
  outbox.answered(GrantPartition{{4, 1, 0}});
  outbox.answered(GrantPartition{{3, 2, 0}});
  outbox.answered(Roster{});
  CHECK(outbox.all() == std::vector<Message>{RequestPartition{key, 4, 2}});
  outbox.answered(GrantPartition{{4, 2, 0}});
  CHECK(outbox.all().empty());
  outbox.answered(GrantPartition{{4, 2, 0}});  // once more, after a reconnect
  CHECK(outbox.all().empty());
}

TEST_CASE("a task's environment is read whole, and what is missing or wrong is named", "[runtime]") {
  std::map<std::string, std::string> variables{
      {"TRAINYARD_JOB", "3"},         {"TRAINYARD_ROLE", "ps"},
      {"TRAINYARD_INDEX", "1"},       {"TRAINYARD_INCARNATION", "2"},
      {"TRAINYARD_TASK_SECRET", "s"}, {"TRAINYARD_MASTER", "127.0.0.1:7077"},
      {"TRAINYARD_JOB_FILE", "/j"},   {"TRAINYARD_CHECKPOINT_DIR", "/c"},
      {"TRAINYARD_OUTPUT_DIR", "/o"}};
  const auto read = runtime::read_task_environment(variables);
  REQUIRE(read.has_value());
  CHECK(read->key == TaskKey{{JobId{3}, Role::ps, 1}, Incarnation{2}});
  CHECK(read->address == "127.0.0.1");
  for (const auto& [name, value] : variables) {
    auto without = variables;
    without.erase(name);
    CHECK_THAT(runtime::read_task_environment(without).error().message,
               Catch::Contains(name + " is not set"));
  }
  variables["TRAINYARD_INDEX"] = "4294967296";
  CHECK_THAT(runtime::read_task_environment(variables).error().message, Catch::Contains("TRAINYARD_INDEX"));
  variables["TRAINYARD_INDEX"] = "1";
  variables["TRAINYARD_ROLE"] = "poet";
  CHECK_THAT(runtime::read_task_environment(variables).error().message, Catch::Contains("'poet'"));
}
