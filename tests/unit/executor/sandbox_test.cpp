// Directories of tasks, and what a task is told: SPEC section 5.
#include "daemons/executor/sandbox.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <set>

#include "common/store/file.hpp"
#include "tests/support/temp_dir.hpp"

using namespace trainyard;
using namespace trainyard::executor;
using trainyard::test::TempDir;

namespace {

const TaskKey ps1{{JobId{12}, Role::ps, 1}, Incarnation{3}};

protocol::LaunchTask launch_of(const TaskKey& key) {
  return {.key = key,
          .job_yaml = "name: flowers\n",
          .job_name = "flowers",
          .granted = {.cpu_millis = 1500, .memory = 1 << 20, .gpus = 2},
          .gpus = {0, 3},
          .checkpoint_dir = "/out/checkpoints",
          .output_dir = "/out",
          .secret = "s3cret",
          .gang = {{"ps", 2}, {"trainer", 2}}};
}

SandboxFacts facts_in(const std::string& work_dir) {
  return {.work_dir = work_dir,
          .binaries = "/opt/bin",
          .master = "127.0.0.1:7077",
          .address = "127.0.0.1",
          .log_bytes_max = 1 << 20,
          .stop_grace = 4s};
}

bool there(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

}  // namespace

TEST_CASE("a task's directory is named by its key", "[executor]") {
  CHECK(directory_name(ps1) == "12-ps-1-3");
  for (const Role role : {Role::trainer, Role::ps, Role::evaluator, Role::predictor}) {
    const TaskKey key{{JobId{1ull << 40}, role, 7}, Incarnation{9}};
    REQUIRE(parse_directory_name(directory_name(key)));
    CHECK(parse_directory_name(directory_name(key)).value() == key);
  }
}

TEST_CASE("other names are no tasks", "[executor]") {
  for (const char* text : {"", "lost+found", "12-ps-1", "12-ps-1-3-4", "12-cook-1-3", "x-ps-1-3", "12-ps--3",
                           "12-ps-1-4294967296", "12-ps-4294967296-1", "-1-ps-1-3", "12-ps-1-3 "}) {
    INFO(text);
    REQUIRE_FALSE(parse_directory_name(text));
    CHECK(parse_directory_name(text).error().code == Errc::invalid);
  }
}

TEST_CASE("a task is told what the contract names, and inherits next to nothing", "[executor]") {
  const auto told =
      task_environment(launch_of(ps1), facts_in("/work"),
                       {{"PATH", "/usr/bin"}, {"AWS_SECRET", "x"}, {"CUDA_VISIBLE_DEVICES", "0,1,2,3"}});
  const std::map<std::string, std::string> expected{
      {"TRAINYARD_JOB", "12"},
      {"TRAINYARD_ROLE", "ps"},
      {"TRAINYARD_INDEX", "1"},
      {"TRAINYARD_INCARNATION", "3"},
      {"TRAINYARD_CLUSTER_SPEC", R"({"gang":{"ps":2,"trainer":2},"ps":[],"trainer":[]})"},
      {"TRAINYARD_CHECKPOINT_DIR", "/out/checkpoints"},
      {"TRAINYARD_OUTPUT_DIR", "/out"},
      {"CUDA_VISIBLE_DEVICES", "0,3"},
      {"OMP_NUM_THREADS", "2"},
      {"TRAINYARD_MASTER", "127.0.0.1:7077"},
      {"TRAINYARD_TASK_SECRET", "s3cret"},
      {"TRAINYARD_JOB_FILE", "/work/tasks/12-ps-1-3/job.yaml"},
      {"TRAINYARD_ADDRESS", "127.0.0.1"},
      {"TRAINYARD_TASK_DIR", "/work/tasks/12-ps-1-3"},
      {"PATH", "/usr/bin"}};
  CHECK(told == expected);
}

TEST_CASE("without GPUs CUDA_VISIBLE_DEVICES is empty, and no grant is below one thread", "[executor]") {
  protocol::LaunchTask launch = launch_of(ps1);
  launch.gpus.clear();
  const auto threads = [&](std::uint64_t cpu_millis) {
    launch.granted.cpu_millis = cpu_millis;
    return task_environment(launch, facts_in("/work"), {}).at("OMP_NUM_THREADS");
  };
  CHECK(task_environment(launch, facts_in("/work"), {}).at("CUDA_VISIBLE_DEVICES").empty());
  CHECK(threads(0) == "1");
  CHECK(threads(500) == "1");
  CHECK(threads(1000) == "1");
  CHECK(threads(4000) == "4");
  CHECK(threads(4001) == "5");
}

TEST_CASE("a furnished directory has what a shim and a later executor need", "[executor]") {
  TempDir dir;
  Sandbox sandbox(facts_in(dir.path()));
  REQUIRE(sandbox.prepare());
  const auto directory = sandbox.furnish(launch_of(ps1), "c1");
  REQUIRE(directory);
  CHECK(*directory == sandbox.live(ps1));
  CHECK(store::read_file(*directory + "/job.yaml").value() == "name: flowers\n");
  const auto launch = runtime::read_launch(*directory);
  REQUIRE(launch);
  CHECK(launch->command == std::vector<std::string>{"/opt/bin/trainyard-ps"});
  CHECK(launch->directory == *directory + "/work");
  CHECK(launch->grace == 4s);
  CHECK(launch->environment.at("TRAINYARD_TASK_SECRET") == "s3cret");
  CHECK(there(launch->directory));
  const auto found = sandbox.found_live();
  REQUIRE(found.size() == 1);
  CHECK(found[0].key == ps1);
  CHECK(found[0].cluster == "c1");
}

TEST_CASE("a directory that a crash left half made is made anew", "[executor]") {
  TempDir dir;
  Sandbox sandbox(facts_in(dir.path()));
  REQUIRE(sandbox.prepare());
  REQUIRE(store::make_directories(sandbox.live(ps1)));
  REQUIRE(store::write_atomic(sandbox.live(ps1) + "/exit.json", "{}"));
  REQUIRE(sandbox.furnish(launch_of(ps1), "c1"));
  CHECK_FALSE(there(sandbox.live(ps1) + "/exit.json"));
}

TEST_CASE("history keeps logs, but neither the secret nor working files", "[executor]") {
  TempDir dir;
  Sandbox sandbox(facts_in(dir.path()));
  REQUIRE(sandbox.prepare());
  REQUIRE(sandbox.furnish(launch_of(ps1), "c1"));
  REQUIRE(store::write_atomic(sandbox.live(ps1) + "/stdout.log", "one\ntwo\nthree\n"));
  REQUIRE(store::write_atomic(sandbox.live(ps1) + "/work/core", "huge"));
  REQUIRE(sandbox.retire(ps1));
  CHECK(sandbox.found_live().empty());
  REQUIRE(sandbox.found_done().size() == 1);
  CHECK(sandbox.found_done()[0].cluster == "c1");
  CHECK_FALSE(there(sandbox.done(ps1) + "/work"));
  const std::string launch = store::read_file(sandbox.done(ps1) + "/launch.json").value();
  CHECK(launch.find("s3cret") == std::string::npos);
  CHECK(sandbox.retire(ps1));  // it is history already

  const auto chunk =
      sandbox.read_log({.request = 4, .key = ps1, .offset = 4, .bytes_max = 3, .tail_lines = 0});
  CHECK(chunk == protocol::LogChunk{.request = 4, .bytes = "two", .offset = 4, .end = 14});
  CHECK(sandbox.read_log({.key = ps1, .bytes_max = 100, .tail_lines = 1}).bytes == "three\n");
  CHECK(sandbox.read_log({.key = ps1, .error_stream = true, .bytes_max = 100}).bytes.empty());
}

TEST_CASE("logs of a task that is not here are an error that says so", "[executor]") {
  TempDir dir;
  const Sandbox sandbox(facts_in(dir.path()));
  const auto chunk = sandbox.read_log({.request = 9, .key = ps1, .bytes_max = 100});
  CHECK(chunk.request == 9);
  CHECK(chunk.error == "12/ps-1#3: its logs are not on this node any more");
}

TEST_CASE("history keeps the newest directories only", "[executor]") {
  TempDir dir;
  Sandbox sandbox(facts_in(dir.path()));
  REQUIRE(sandbox.prepare());
  for (std::uint32_t i = 0; i < done_kept + 5; ++i) {
    REQUIRE(store::make_directories(sandbox.live({{JobId{i + 1}, Role::trainer, 0}, Incarnation{1}})));
  }
  for (const FoundTask& task : sandbox.found_live()) REQUIRE(sandbox.retire(task.key));
  CHECK(sandbox.found_done().size() == done_kept);
}
