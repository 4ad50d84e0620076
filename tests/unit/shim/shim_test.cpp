// Runs the real trainyard-shim with real processes.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <thread>

#include "common/base/text.hpp"
#include "common/runtime/process.hpp"
#include "common/runtime/task_files.hpp"
#include "common/store/file.hpp"
#include "tests/support/temp_dir.hpp"

using namespace trainyard;
using trainyard::test::TempDir;

namespace {

std::string binary() {
  const char* directory = std::getenv("TRAINYARD_BIN");
  return std::string(directory == nullptr ? "build/dev/bin" : directory) + "/trainyard-shim";
}

bool within(Duration patience, const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

/// A shim that runs a shell script, and everything that it starts, found by its mark in the environment.
class Run {
 public:
  explicit Run(const std::string& script, Duration grace = 10s, std::uint64_t log_bytes_max = 1 << 20)
      : Run(std::vector<std::string>{"/bin/sh", "-c", script}, grace, log_bytes_max) {}
  Run(std::vector<std::string> command, Duration grace, std::uint64_t log_bytes_max) {
    REQUIRE(
        runtime::write_launch(dir_.path(), {.command = std::move(command),
                                            .environment = {{"PATH", "/usr/bin:/bin"}, {"MARK", dir_.path()}},
                                            .directory = dir_.path(),
                                            .log_bytes_max = log_bytes_max,
                                            .grace = grace}));
    auto started = runtime::spawn({.command = {binary(), dir_.path()}, .directory = dir_.path()});
    REQUIRE(started);
    shim_ = *started;
  }
  ~Run() {
    ::kill(shim_, SIGKILL);
    for (const pid_t pid : processes()) ::kill(pid, SIGKILL);
    ::waitpid(shim_, nullptr, 0);
  }
  std::vector<pid_t> processes() const { return runtime::processes_with("MARK=" + dir_.path()); }
  runtime::ExitRecord finish(Duration patience = 8s) {
    REQUIRE(within(patience, [&] { return runtime::reap(shim_).has_value(); }));
    const auto record = runtime::read_exit(dir_.path());
    REQUIRE(record);
    return *record;
  }
  void wait_for(const std::string& file) {
    REQUIRE(within(5s, [&] { return ::access((dir_ / file).c_str(), F_OK) == 0; }));
  }
  std::string file(const std::string& name) { return store::read_file(dir_ / name).value(); }
  void stop() { ::kill(shim_, SIGTERM); }
  void stop(int grace_ms) { ::sigqueue(shim_, SIGTERM, sigval{.sival_int = grace_ms}); }
  pid_t shim() const { return shim_; }
  const TempDir& dir() const { return dir_; }

 private:
  TempDir dir_;
  pid_t shim_ = 0;
};

}  // namespace

TEST_CASE("the exit code, both streams and the last lines of a task are kept", "[shim]") {
  Run run("echo out; for i in $(seq 30); do echo line $i >&2; done; exit 3");
  const auto record = run.finish();
  CHECK(record.exit_code == 3);
  CHECK(record.signal == 0);
  CHECK(record.memory_peak > 0);
  CHECK(record.ended > 1'600'000'000'000);
  REQUIRE(record.last_lines.size() == 20);
  CHECK(record.last_lines.front() == "line 11");
  CHECK(record.last_lines.back() == "line 30");
  CHECK(run.file("stdout.log") == "out\n");
  CHECK(run.file("stderr.log").size() == 30 * 8 - 9);
}

TEST_CASE("the signal that ended a task is kept", "[shim]") {
  Run run("kill -SEGV $$");
  const auto record = run.finish();
  CHECK(record.signal == SIGSEGV);
  CHECK(record.exit_code == 0);
}

TEST_CASE("a program that does not exist is an exit record that says so", "[shim]") {
  Run run(std::vector<std::string>{"/nonexistent/program"}, 10s, 1 << 20);
  const auto record = run.finish();
  CHECK(record.exit_code == 127);
  CHECK(record.error.find("/nonexistent/program: cannot be executed: No such file") == 0);
}

TEST_CASE("SIGTERM reaches the task, which may end in its own way", "[shim]") {
  Run run("trap 'echo saved; exit 5' TERM; touch ready; while :; do sleep 0.02; done");
  run.wait_for("ready");
  run.stop();
  CHECK(run.finish().exit_code == 5);
  CHECK(run.file("stdout.log") == "saved\n");
}

TEST_CASE("a task that ignores SIGTERM is killed after the grace", "[shim]") {
  Run run("trap '' TERM; touch ready; while :; do sleep 0.02; done", 300ms);
  run.wait_for("ready");
  const auto asked = std::chrono::steady_clock::now();
  run.stop();
  CHECK(run.finish().signal == SIGKILL);
  CHECK(std::chrono::steady_clock::now() - asked >= 290ms);
}

TEST_CASE("the grace may come with the signal, and zero kills at once", "[shim]") {
  Run run("trap '' TERM; touch ready; while :; do sleep 0.02; done", 60s);
  run.wait_for("ready");
  run.stop(0);
  CHECK(run.finish(2s).signal == SIGKILL);
  CHECK(run.processes().empty());
}

TEST_CASE("what a task leaves behind goes with it, also out of its session and deaf to SIGTERM", "[shim]") {
  Run run(
      "(setsid sh -c 'trap \"\" TERM; touch deep; while :; do sleep 0.05; done' &) ; "
      "while [ ! -e deep ]; do sleep 0.01; done; exit 0");
  CHECK(run.finish().exit_code == 0);
  CHECK(run.processes().empty());
}

TEST_CASE("when the shim is killed the task dies with it", "[shim]") {
  Run run("touch ready; exec sleep 1000");
  run.wait_for("ready");
  REQUIRE_FALSE(run.processes().empty());
  ::kill(run.shim(), SIGKILL);
  CHECK(within(2s, [&] { return run.processes().empty(); }));
}

TEST_CASE("a chatty task never waits for its log, which stays within two files", "[shim]") {
  Run run({"/bin/sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' 'x'; echo; exit 4"}, 10s, 300'000);
  CHECK(run.finish().exit_code == 4);
  CHECK(run.file("stdout.log").size() <= 400'000);
  CHECK(run.file("stdout.log.1").size() <= 400'000);
  CHECK(runtime::read_log(run.dir() / "stdout.log", 0, 1, 0)->end == 3'000'001);
}

TEST_CASE("the status names shim and child so that a later process can find them", "[shim]") {
  Run run("touch ready; exec sleep 1000");
  run.wait_for("ready");
  runtime::ShimStatus status;
  REQUIRE(within(2s, [&] {
    status = runtime::read_status(run.dir().path()).value();
    return status.child != 0;
  }));
  CHECK(status.shim == run.shim());
  CHECK(runtime::start_ticks(status.shim) == status.shim_start);
  CHECK(runtime::start_ticks(status.child) == status.child_start);
}

TEST_CASE("usage errors exit with 2", "[shim]") {
  for (const std::string& argument : {std::string("/nonexistent"), std::string("--frobnicate")}) {
    const auto pid = runtime::spawn({.command = {binary(), argument}});
    REQUIRE(pid);
    std::optional<runtime::ExitStatus> status;
    REQUIRE(within(5s, [&] { return (status = runtime::reap(*pid)).has_value(); }));
    CHECK(status->code == 2);
  }
}
