// The real trainyard-executor and trainyard-shim with real processes, against a master of a few lines that
// speaks the control protocol over a real socket. The tasks are shell scripts in the trainer's place.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

#include "common/base/text.hpp"
#include "common/net/http.hpp"
#include "common/protocol/codec.hpp"
#include "common/runtime/process.hpp"
#include "common/store/file.hpp"
#include "tests/support/temp_dir.hpp"

using namespace trainyard;
using protocol::ProcessState;
using protocol::TaskKey;
using trainyard::test::TempDir;
namespace fs = std::filesystem;

namespace {

const TaskKey task{{JobId{1}, Role::trainer, 0}, Incarnation{1}};

std::string binaries() {
  const char* directory = std::getenv("TRAINYARD_BIN");
  return directory == nullptr ? "build/dev/bin" : directory;
}

bool alive(pid_t pid) { return pid > 0 && runtime::start_ticks(pid).has_value(); }

/// One node's cluster: the test is its master.
class Cluster {
 public:
  /// `script` is what stands in place of the trainer.
  explicit Cluster(const std::string& script) {
    fs::create_directory(dir_ / "bin");
    for (const char* name : {"trainyard-executor", "trainyard-shim"}) {
      // Copies: the executor looks for its siblings beside itself.
      fs::copy_file(fs::path(binaries()) / name, dir_ / "bin/" + name);
    }
    REQUIRE(store::write_atomic(dir_ / "bin/trainyard-trainer", "#!/bin/sh\n" + script + "\n"));
    fs::permissions(dir_ / "bin/trainyard-trainer", fs::perms::owner_all);
    auto server = net::Server::listen(
        reactor_, {"127.0.0.1", 0},
        {.request = [](net::HttpRequest, net::HttpReply) {},
         .session = [this](std::shared_ptr<net::Session> session) { return opened(std::move(session)); }});
    REQUIRE(server);
    server_ = std::move(*server);
    reactor_.every(2ms, [this] {
      if (done_() || SystemClock{}.now().monotonic > give_up_) reactor_.stop();
    });
    config_ = format(
        "executor:\n  master: {}\n  name: n1\n  work_dir: {}\n  cpus: 3\n  memory: 2GiB\n  fake_gpus: 2\n"
        "  stop_grace: 300ms\n  labels: {{zone: a}}\n",
        net::name(server_->endpoint()), dir_ / "node");
    REQUIRE(store::write_atomic(dir_ / "cluster.yaml", config_));
    start_executor();
  }
  ~Cluster() {
    kill_executor();
    for (const std::string& mark : {"TRAINYARD_TASK_DIR=" + task_dir(), "TRAINYARD_SHIM_DIR=" + task_dir()}) {
      for (const pid_t pid : runtime::processes_with(mark)) ::kill(pid, SIGKILL);
    }
  }

  void start_executor() { executor_ = spawn_executor("executor.log"); }
  pid_t spawn_executor(const std::string& log) {
    const auto pid =
        runtime::spawn({.command = {dir_ / "bin/trainyard-executor", "--config", dir_ / "cluster.yaml"},
                        .environment = {{"PATH", "/usr/bin:/bin"}},
                        .directory = dir_.path(),
                        .stderr_file = dir_ / log,
                        .die_with_parent = true});
    REQUIRE(pid);
    return *pid;
  }
  void kill_executor() {
    if (executor_ == 0) return;
    ::kill(executor_, SIGKILL);
    ::waitpid(std::exchange(executor_, 0), nullptr, 0);
  }
  std::optional<runtime::ExitStatus> wait_for_exit(pid_t pid) {
    std::optional<runtime::ExitStatus> status;
    until([&] { return status.has_value() || (status = runtime::reap(pid)).has_value(); });
    return status;
  }

  /// False when it did not happen in time.
  bool until(std::function<bool()> condition, Duration patience = 8s) {
    done_ = std::move(condition);
    give_up_ = SystemClock{}.now().monotonic + patience;
    reactor_.run();
    return done_();
  }
  void send(const protocol::Message& message) {
    REQUIRE(session_);
    session_->send(protocol::encode(message));
  }
  void launch() {
    REQUIRE(until([&] { return registrations_.size() == 1; }));
    send(protocol::LaunchTask{.key = task,
                              .job_yaml = "name: test\n",
                              .job_name = "test",
                              .granted = {2000, 1 << 20, 1},
                              .gpus = {1},
                              .checkpoint_dir = "/nowhere/checkpoints",
                              .output_dir = "/nowhere",
                              .secret = "s3cret",
                              .gang = {{"trainer", 1}}});
  }
  pid_t launch_and_wait_for(const std::string& file) {
    launch();
    REQUIRE(until([&] { return report().state == ProcessState::running; }));
    REQUIRE(until([&] { return fs::exists(work() + "/" + file); }));
    return report().pid;
  }
  bool ended() {
    return until([&] { return report().state == ProcessState::exited; });
  }

  protocol::TaskReport report() const { return last_.empty() ? protocol::TaskReport{} : last_.front(); }
  const std::vector<protocol::TaskReport>& reports() const { return last_; }
  const std::vector<protocol::RegisterNode>& registrations() const { return registrations_; }
  std::optional<protocol::LogChunk> chunk;
  pid_t executor() const { return executor_; }
  std::string task_dir() const { return dir_ / "node/tasks/1-trainer-0-1"; }
  std::string work() const { return task_dir() + "/work"; }
  std::string file(const std::string& path) const { return store::read_file(path).value(); }
  const TempDir& dir() const { return dir_; }

 private:
  net::SessionEvents opened(std::shared_ptr<net::Session> session) {
    session_ = std::move(session);
    return {.frame =
                [this](std::string_view body) {
                  auto message = protocol::decode(body);
                  REQUIRE(message);
                  std::visit(overloaded{[&](const protocol::RegisterNode& m) {
                                          registrations_.push_back(m);
                                          last_ = m.tasks;
                                          send(protocol::Registered{50, "c1"});
                                        },
                                        [&](const protocol::Heartbeat& m) { last_ = m.tasks; },
                                        [&](const protocol::LogChunk& m) { chunk = m; }, [](const auto&) {}},
                             *message);
                },
            .closed = [this](const std::string&) { session_.reset(); }};
  }

  TempDir dir_;
  net::Reactor reactor_;
  std::string config_;
  pid_t executor_ = 0;
  std::shared_ptr<net::Session> session_;
  std::vector<protocol::RegisterNode> registrations_;
  std::vector<protocol::TaskReport> last_;
  std::function<bool()> done_ = [] { return false; };
  Time give_up_{};
  std::unique_ptr<net::Server> server_;  // last: no session outlives what its events touch
};

}  // namespace

TEST_CASE("an executor registers what its config says", "[component]") {
  Cluster cluster("exit 0");
  REQUIRE(cluster.until([&] { return cluster.registrations().size() == 1; }));
  const auto& node = cluster.registrations().front();
  CHECK(node.node == "n1");
  CHECK(node.version == protocol::version);
  CHECK(node.capacity == protocol::ResourceSet{3000, 2ull << 30, 2});
  CHECK(node.gpu_models == std::vector<std::string>{"fake", "fake"});
  CHECK(node.labels == std::map<std::string, std::string>{{"zone", "a"}});
  CHECK(node.tasks.empty());
}

TEST_CASE("a launched task is told its grant, and its exit and logs come back", "[component]") {
  Cluster cluster("env > environment; echo printed; echo failed because >&2; exit 3");
  cluster.launch();
  REQUIRE(cluster.ended());
  CHECK(cluster.report().key == task);
  CHECK(cluster.report().exit_code == 3);
  CHECK(cluster.report().signal == 0);
  CHECK(cluster.report().error.empty());
  CHECK(cluster.report().last_lines == std::vector<std::string>{"failed because"});
  const std::string told = "\n" + cluster.file(cluster.work() + "/environment");
  for (const char* line :
       {"TRAINYARD_JOB=1", "TRAINYARD_ROLE=trainer", "TRAINYARD_INDEX=0", "TRAINYARD_INCARNATION=1",
        "CUDA_VISIBLE_DEVICES=1", "OMP_NUM_THREADS=2", "TRAINYARD_TASK_SECRET=s3cret"}) {
    INFO(line);
    CHECK(told.find("\n" + std::string(line) + "\n") != std::string::npos);
  }
  CHECK(told.find("MASTER_ADDR=") == std::string::npos);
  CHECK(told.find("TRAINYARD_SHIM_DIR=") == std::string::npos);

  cluster.send(protocol::ForgetTask{task});
  REQUIRE(cluster.until([&] { return cluster.reports().empty(); }));
  cluster.send(protocol::ReadLog{.request = 5, .key = task, .bytes_max = 100});
  REQUIRE(cluster.until([&] { return cluster.chunk.has_value(); }));
  CHECK(*cluster.chunk == protocol::LogChunk{.request = 5, .bytes = "printed\n", .offset = 0, .end = 8});
  CHECK_FALSE(fs::exists(cluster.task_dir()));
}

TEST_CASE("tasks outlive a killed executor and are adopted with the same pid", "[component]") {
  Cluster cluster("touch ready; exec sleep 100");
  const pid_t pid = cluster.launch_and_wait_for("ready");
  cluster.kill_executor();
  CHECK(alive(pid));
  cluster.start_executor();
  REQUIRE(cluster.until([&] { return cluster.registrations().size() == 2; }));
  REQUIRE(cluster.registrations()[1].tasks.size() == 1);
  CHECK(cluster.registrations()[1].tasks[0].pid == pid);
  CHECK(cluster.registrations()[1].tasks[0].state == ProcessState::running);
  CHECK(cluster.registrations()[1].session != cluster.registrations()[0].session);
  cluster.send(protocol::StopTask{task, 5000});
  REQUIRE(cluster.ended());
  CHECK(cluster.report().signal == SIGTERM);
  CHECK_FALSE(alive(pid));
}

TEST_CASE("an exit while the executor was away is told by the next one", "[component]") {
  Cluster cluster("touch ready; while [ ! -e ../../../go ]; do sleep 0.01; done; exit 7");
  const pid_t pid = cluster.launch_and_wait_for("ready");
  cluster.kill_executor();
  REQUIRE(store::write_atomic(cluster.dir() / "node/go", ""));
  REQUIRE(cluster.until([&] { return !alive(pid) && fs::exists(cluster.task_dir() + "/exit.json"); }));
  cluster.start_executor();
  REQUIRE(cluster.until([&] { return cluster.registrations().size() == 2; }));
  REQUIRE(cluster.registrations()[1].tasks.size() == 1);
  CHECK(cluster.registrations()[1].tasks[0].state == ProcessState::exited);
  CHECK(cluster.registrations()[1].tasks[0].exit_code == 7);
}

TEST_CASE("a stop also ends what the task left its session for", "[component]") {
  Cluster cluster(
      "(setsid sh -c 'echo $$ > deep; trap \"\" TERM; while :; do sleep 0.05; done' &); "
      "while [ ! -s deep ]; do sleep 0.01; done; touch ready; exec sleep 100");
  const pid_t pid = cluster.launch_and_wait_for("ready");
  const auto deep = static_cast<pid_t>(std::stol(cluster.file(cluster.work() + "/deep")));
  REQUIRE(alive(deep));
  cluster.send(protocol::StopTask{task, 200});
  REQUIRE(cluster.ended());
  CHECK_FALSE(alive(pid));
  CHECK_FALSE(alive(deep));
}

TEST_CASE("when both executor and shim were killed nothing of the task stays", "[component]") {
  Cluster cluster(
      "(setsid sh -c 'echo $$ > deep; exec sleep 100' &); while [ ! -s deep ]; do sleep 0.01; done; "
      "touch ready; exec sleep 100");
  const pid_t pid = cluster.launch_and_wait_for("ready");
  const auto deep = static_cast<pid_t>(std::stol(cluster.file(cluster.work() + "/deep")));
  cluster.kill_executor();
  for (const pid_t shim : runtime::processes_with("TRAINYARD_SHIM_DIR=" + cluster.task_dir())) {
    ::kill(shim, SIGKILL);
  }
  REQUIRE(cluster.until([&] { return !alive(pid); }));
  CHECK(alive(deep));
  cluster.start_executor();
  REQUIRE(cluster.until([&] { return cluster.registrations().size() == 2; }));
  REQUIRE(cluster.registrations()[1].tasks.size() == 1);
  CHECK(cluster.registrations()[1].tasks[0].state == ProcessState::exited);
  CHECK(cluster.registrations()[1].tasks[0].error == "lost while the executor was away");
  CHECK(cluster.until([&] { return !alive(deep); }));  // the kernel takes its time
}

TEST_CASE("SIGTERM ends an executor with 0 and leaves its tasks running", "[component]") {
  Cluster cluster("touch ready; exec sleep 100");
  const pid_t pid = cluster.launch_and_wait_for("ready");
  ::kill(cluster.executor(), SIGTERM);
  const auto status = cluster.wait_for_exit(cluster.executor());
  REQUIRE(status);
  CHECK(status->code == 0);
  CHECK(status->signal == 0);
  CHECK(alive(pid));
}

TEST_CASE("a second executor on the same directory says so and ends", "[component]") {
  Cluster cluster("exit 0");
  REQUIRE(cluster.until([&] { return cluster.registrations().size() == 1; }));
  const pid_t second = cluster.spawn_executor("second.log");
  const auto status = cluster.wait_for_exit(second);
  REQUIRE(status);
  CHECK(status->code != 0);
  const std::string said = cluster.file(cluster.dir() / "second.log");
  INFO(said);
  CHECK(said.find("another executor uses " + (cluster.dir() / "node")) != std::string::npos);
  CHECK(said.find(std::to_string(cluster.executor())) != std::string::npos);
}

TEST_CASE("a node that is refused for good ends its executor with the reason", "[component]") {
  Cluster cluster("exit 0");
  REQUIRE(cluster.until([&] { return cluster.registrations().size() == 1; }));
  cluster.send(protocol::Refused{"it speaks version 0 of the protocol", true});
  const auto status = cluster.wait_for_exit(cluster.executor());
  REQUIRE(status);
  CHECK(status->code == 5);
  const std::string said = cluster.file(cluster.dir() / "executor.log");
  CHECK(said.find("refuses this node: it speaks version 0 of the protocol") != std::string::npos);
}

TEST_CASE("nonsense from the master ends no executor", "[component]") {
  Cluster cluster("exit 0");
  REQUIRE(cluster.until([&] { return cluster.registrations().size() == 1; }));
  cluster.send(protocol::Dismiss{});
  cluster.send(protocol::StopTask{task, 0});
  cluster.send(protocol::ForgetTask{task});
  cluster.send(protocol::ReadLog{.request = 1, .key = task, .bytes_max = 10});
  REQUIRE(cluster.until([&] { return cluster.chunk.has_value(); }));
  CHECK_FALSE(cluster.chunk->error.empty());
  CHECK(alive(cluster.executor()));
}
