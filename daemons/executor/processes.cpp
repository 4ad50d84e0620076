#include "daemons/executor/processes.hpp"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/runtime/process.hpp"
#include "common/runtime/task_files.hpp"

namespace trainyard::executor {

namespace {

constexpr Duration status_patience = 500ms;  // of a shim that was started just before the executor died

constexpr const char* shim_mark = "TRAINYARD_SHIM_DIR";  // no task inherits it

/// What a task left, and its shim: one that was started by an executor that died at that moment.
void kill_strays(const std::string& directory) {
  for (const char* mark : {shim_mark, "TRAINYARD_TASK_DIR"}) {
    for (const pid_t pid : runtime::processes_with(std::string(mark) + "=" + directory)) ::kill(pid, SIGKILL);
  }
}

std::optional<runtime::ShimStatus> status_of(const std::string& directory) {
  const Time give_up = SystemClock{}.now().monotonic + status_patience;
  while (true) {
    if (const auto status = runtime::read_status(directory)) return *status;
    const auto record = runtime::read_exit(directory);
    if (record || SystemClock{}.now().monotonic > give_up) return std::nullopt;
    std::this_thread::sleep_for(10ms);
  }
}

TaskExited exit_of(const TaskKey& key, const std::string& directory, const std::string& without_record) {
  if (const auto record = runtime::read_exit(directory)) {
    return {.key = key,
            .exit_code = record->exit_code,
            .signal = record->signal,
            .memory_peak = record->memory_peak,
            .error = record->error,
            .last_lines = record->last_lines};
  }
  TaskExited exit{.key = key, .signal = SIGKILL, .error = without_record};
  const auto log = runtime::read_log(directory + "/stderr.log", 0, 10'000, runtime::last_lines_max);
  if (!log) return exit;
  for (std::string& line : split(log->bytes, '\n')) {
    line.resize(std::min(line.size(), runtime::last_line_bytes_max));
    if (!line.empty() && exit.last_lines.size() < runtime::last_lines_max) exit.last_lines.push_back(line);
  }
  return exit;
}

}  // namespace

Processes::Processes(net::Reactor& reactor, std::string shim, std::function<void(Event)> happened)
    : reactor_(reactor), shim_binary_(std::move(shim)), happened_(std::move(happened)) {}

Processes::~Processes() {
  for (auto& [key, shim] : shims_) {
    if (shim.descriptor < 0) continue;
    reactor_.unwatch(shim.descriptor);
    ::close(shim.descriptor);
  }
}

void Processes::tell(Event event) {
  reactor_.post([this, alive = std::weak_ptr(alive_), event = std::move(event)] {
    if (!alive.expired()) happened_(event);
  });
}

void Processes::start(const TaskKey& key, const std::string& directory) {
  const auto pid = runtime::spawn({.command = {shim_binary_, directory},
                                   .environment = {{shim_mark, directory}},
                                   .directory = directory,
                                   .stdout_file = directory + "/shim.log",
                                   .stderr_file = directory + "/shim.log"});
  if (!pid) return tell(TaskExited{.key = key, .exit_code = 127, .error = pid.error().message});
  watch(key, *pid, runtime::start_ticks(*pid).value_or(0), directory);
}

void Processes::watch(const TaskKey& key, pid_t pid, std::uint64_t start, const std::string& directory) {
  Shim shim{.pid = pid, .start = start, .descriptor = -1, .directory = directory};
  shim.descriptor = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (shim.descriptor >= 0) reactor_.watch(shim.descriptor, [this, key] { ended(key); });
  shims_.insert_or_assign(key, shim);
}

Event Processes::adopt(const TaskKey& key, const std::string& directory, const std::string& cluster) {
  const auto status = status_of(directory);
  if (status && runtime::start_ticks(status->shim) == status->shim_start) {
    watch(key, status->shim, status->shim_start, directory);
    shims_.at(key).child_known = status->child != 0;
    const auto state =
        status->child != 0 ? protocol::ProcessState::running : protocol::ProcessState::starting;
    return TaskFound{{.key = key, .state = state, .pid = status->child}, cluster};
  }
  kill_strays(directory);
  const TaskExited exit = exit_of(key, directory, "lost while the executor was away");
  return TaskFound{{.key = key,
                    .state = protocol::ProcessState::exited,
                    .exit_code = exit.exit_code,
                    .signal = exit.signal,
                    .memory_peak = exit.memory_peak,
                    .error = exit.error,
                    .last_lines = exit.last_lines},
                   cluster};
}

void Processes::stop(const TaskKey& key, Duration grace) {
  const auto it = shims_.find(key);
  if (it == shims_.end() || has_ended(it->second)) return;
  it->second.stopped = true;
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(grace).count();
  ::sigqueue(it->second.pid, SIGTERM,
             sigval{.sival_int = static_cast<int>(std::min<std::int64_t>(milliseconds, 3'600'000))});
}

void Processes::destroy(const TaskKey& key) {
  const auto it = shims_.find(key);
  if (it == shims_.end() || has_ended(it->second)) return;
  for (const pid_t pid : runtime::descendants(it->second.pid)) ::kill(pid, SIGKILL);
  ::kill(it->second.pid, SIGKILL);
  kill_strays(it->second.directory);
}

bool Processes::has_ended(const Shim& shim) const {
  if (runtime::reap(shim.pid)) return true;  // our own child
  const auto start = runtime::start_ticks(shim.pid);
  return !start || *start != shim.start;
}

void Processes::poll() {
  std::vector<TaskKey> gone;
  for (auto& [key, shim] : shims_) {
    if (has_ended(shim)) {
      gone.push_back(key);
    } else if (!shim.child_known) {
      const auto status = runtime::read_status(shim.directory);
      if (!status || status->child == 0) continue;
      shim.child_known = true;
      tell(TaskStarted{key, status->child});
    }
  }
  for (const TaskKey& key : gone) ended(key);
}

void Processes::ended(TaskKey key) {
  const auto it = shims_.find(key);
  if (it == shims_.end()) return;
  const Shim shim = it->second;
  ::waitpid(shim.pid, nullptr, WNOHANG);
  if (shim.descriptor >= 0) {
    reactor_.unwatch(shim.descriptor);
    ::close(shim.descriptor);
  }
  shims_.erase(it);
  kill_strays(shim.directory);  // nothing, unless the shim itself was killed
  TaskExited exit = exit_of(key, shim.directory, "its shim was killed");
  // A stop may come before the shim is ready for signals; then there never was a task.
  if (shim.stopped && !shim.child_known && !runtime::read_exit(shim.directory)) exit.error.clear();
  tell(std::move(exit));
}

}  // namespace trainyard::executor
