#include "daemons/cli/local_cluster.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <thread>

#include "common/base/text.hpp"
#include "common/runtime/daemon.hpp"
#include "common/runtime/process.hpp"
#include "common/store/file.hpp"
#include "daemons/cli/client.hpp"
#include "daemons/cli/local_process.hpp"
#include "daemons/cli/table.hpp"
#include "daemons/cli/terminal.hpp"

namespace trainyard::cli {

namespace {

constexpr Duration ready_within = 30s;
constexpr std::uint64_t cluster_file_bytes_max = 1 << 20;

std::string file_of(const std::string& directory) { return directory + "/cluster.json"; }

Status write_cluster(const LocalCluster& cluster) {
  Json processes = Json::array();
  for (const LocalProcess& process : cluster.processes) {
    processes.push_back({{"name", process.name},
                         {"command", process.command},
                         {"log", process.log},
                         {"pid", process.pid},
                         {"start_ticks", process.start_ticks}});
  }
  const Json json = {
      {"version", TRAINYARD_VERSION}, {"endpoint", cluster.endpoint}, {"processes", processes}};
  return store::write_atomic(file_of(cluster.directory), to_text(json, 2) + "\n");
}

Status start(LocalProcess& process, const std::string& directory) {
  const auto pid = runtime::spawn({.command = process.command,
                                   .environment = runtime::environment(),
                                   .directory = directory,
                                   .stdout_file = process.log,
                                   .stderr_file = process.log});
  if (!pid) return pid.error().with(process.name);
  process.pid = *pid;
  process.start_ticks = runtime::start_ticks(*pid).value_or(0);
  return {};
}

/// A daemon that ended while it was waited for, and what it said last.
Error died(const LocalProcess& process) {
  const std::string lines = last_lines(process.log, 6);
  return {Errc::io, format("{} did not start:\n{}\n(all of it is in {})", process.name,
                           lines.empty() ? "(it said nothing)" : lines, process.log)};
}

/// Waits until `done` says so, a process dies, or time is up.
template <typename Done>
Status wait_for(const LocalCluster& cluster, const std::string& what, Done done) {
  const auto deadline = std::chrono::steady_clock::now() + ready_within;
  while (!done()) {
    for (const LocalProcess& process : cluster.processes) {
      if (process.pid != 0 && !is_alive(process)) return died(process);
    }
    if (was_interrupted()) return Error{Errc::unavailable, "interrupted while the cluster was starting"};
    if (std::chrono::steady_clock::now() > deadline) {
      return Error{Errc::unavailable, format("{} took more than {}; the logs are {}/*.log", what,
                                             duration_text(ready_within), cluster.directory)};
    }
    std::this_thread::sleep_for(10ms);
  }
  return {};
}

Status wait_for_master(LocalCluster& cluster) {
  const std::string file = cluster.directory + "/master/endpoint";
  auto found = wait_for(cluster, "the master's start", [&] {
    auto text = store::read_file(file, 1024);
    if (!text) return false;
    text->erase(text->find_last_not_of(" \r\n\t") + 1);
    const auto endpoint = net::parse_endpoint(*text);
    if (!endpoint || endpoint->port == 0) return false;
    cluster.endpoint = *text;
    const Client client(Target{*endpoint, cluster.directory, true, ""});
    const auto status = client.status_of("/readyz");
    return status && *status == 200;
  });
  return found;
}

Status wait_for_nodes(const LocalCluster& cluster) {
  const auto endpoint = net::parse_endpoint(cluster.endpoint);
  if (!endpoint) return endpoint.error();
  const Client client(Target{*endpoint, cluster.directory, true, ""});
  std::set<std::string> expected;
  for (const LocalProcess& process : cluster.processes) {
    if (process.name != "master") expected.insert(process.name);
  }
  return wait_for(cluster, "the executors' registration", [&] {
    const auto answer = client.get("/nodes");
    if (!answer) return false;
    std::set<std::string> missing = expected;
    for (const Json& node : list_at(*answer, "nodes")) {
      if (text_at(node, "state") == "READY") missing.erase(text_at(node, "name"));
    }
    return missing.empty();
  });
}

LocalProcess master_process(const ClusterPlan& plan) {
  return {
      .name = "master",
      .command = {runtime::binary_directory() + "/trainyard-master", "--log-level", plan.log_level,
                  "--log-format", plan.log_format, "--set", format("master.listen=127.0.0.1:{}", plan.port),
                  "--set", format("master.state_dir={}/master", plan.directory)},
      .log = plan.directory + "/master.log"};
}

LocalProcess executor_process(const ClusterPlan& plan, std::uint32_t number, const std::string& endpoint) {
  const std::string name = format("node-{}", number);
  LocalProcess process{.name = name,
                       .command = {runtime::binary_directory() + "/trainyard-executor", "--log-level",
                                   plan.log_level, "--log-format", plan.log_format},
                       .log = format("{}/{}.log", plan.directory, name)};
  const auto set = [&process](const std::string& text) {
    process.command.push_back("--set");
    process.command.push_back(text);
  };
  set("executor.name=" + name);
  set("executor.master=" + endpoint);
  set(format("executor.work_dir={}/{}", plan.directory, name));
  if (plan.cpus > 0) set(format("executor.cpus={}", plan.cpus));
  if (plan.gpus > 0) set(format("executor.fake_gpus={}", plan.gpus));
  if (plan.orphan_after > Duration::zero()) set("executor.orphan_after=" + duration_text(plan.orphan_after));
  return process;
}

Status start_all(LocalCluster& cluster, const ClusterPlan& plan) {
  cluster.processes.push_back(master_process(plan));
  if (auto started = start(cluster.processes.back(), plan.directory); !started) return started;
  if (auto written = write_cluster(cluster); !written) return written;
  if (auto ready = wait_for_master(cluster); !ready) return ready;
  // Started again, it has to come back where its executors and clients look for it.
  for (std::string& argument : cluster.processes.front().command) {
    if (argument.rfind("master.listen=", 0) == 0) argument = "master.listen=" + cluster.endpoint;
  }
  for (std::uint32_t number = 1; number <= plan.executors; ++number) {
    cluster.processes.push_back(executor_process(plan, number, cluster.endpoint));
    if (auto started = start(cluster.processes.back(), plan.directory); !started) return started;
    if (auto written = write_cluster(cluster); !written) return written;
  }
  return wait_for_nodes(cluster);
}

std::vector<pid_t> all_processes(const LocalCluster& cluster) {
  std::vector<pid_t> pids = processes_below(cluster.directory);
  for (const LocalProcess& process : cluster.processes) {
    if (is_alive(process) && std::find(pids.begin(), pids.end(), process.pid) == pids.end()) {
      pids.push_back(process.pid);
    }
  }
  return pids;
}

}  // namespace

std::string default_cluster_directory() {
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state == '/') {
    return std::string(state) + "/trainyard";
  }
  const char* home = std::getenv("HOME");
  return std::string(home == nullptr ? "" : home) + "/.local/state/trainyard";
}

bool is_alive(const LocalProcess& process) {
  if (process.pid <= 0) return false;
  (void)runtime::reap(process.pid);
  return process_runs(process.pid) && runtime::start_ticks(process.pid) == process.start_ticks;
}

bool is_up(const LocalCluster& cluster) {
  return !cluster.endpoint.empty() && !cluster.processes.empty() && is_alive(cluster.processes.front());
}

Result<LocalCluster> read_cluster(const std::string& directory) {
  const auto text = store::read_file(file_of(directory), cluster_file_bytes_max);
  if (!text) return text.error();
  const auto json = parse_json(*text);
  if (!json) return json.error().with(file_of(directory));
  LocalCluster cluster{.directory = directory, .endpoint = text_at(*json, "endpoint"), .processes = {}};
  for (const Json& entry : list_at(*json, "processes")) {
    LocalProcess process{.name = text_at(entry, "name"), .command = {}, .log = text_at(entry, "log")};
    for (const Json& argument : list_at(entry, "command")) {
      if (argument.is_string()) process.command.push_back(argument.get<std::string>());
    }
    process.pid = static_cast<pid_t>(integer_at(entry, "pid"));
    process.start_ticks = static_cast<std::uint64_t>(integer_at(entry, "start_ticks"));
    cluster.processes.push_back(std::move(process));
  }
  return cluster;
}

Result<LocalCluster> start_cluster(const ClusterPlan& plan) {
  LocalCluster cluster{.directory = plan.directory, .endpoint = "", .processes = {}};
  if (auto made = store::make_directories(plan.directory); !made) return made.error();
  // Left by a master that is gone; taken for the new one's it would send everybody to the old port.
  std::error_code ignored;
  std::filesystem::remove(plan.directory + "/master/endpoint", ignored);
  if (auto started = start_all(cluster, plan); !started) {
    (void)end_processes(all_processes(cluster), 5s);
    std::filesystem::remove(file_of(plan.directory), ignored);
    return started.error();
  }
  return cluster;
}

Result<std::vector<std::string>> mend_cluster(LocalCluster& cluster) {
  std::vector<std::string> started;
  for (LocalProcess& process : cluster.processes) {
    if (is_alive(process)) continue;
    if (process.command.empty()) return Error{Errc::corrupt, file_of(cluster.directory) + ": no command"};
    if (auto result = start(process, cluster.directory); !result) return result.error();
    started.push_back(process.name);
    if (auto written = write_cluster(cluster); !written) return written.error();
    if (process.name == "master") {
      if (auto ready = wait_for_master(cluster); !ready) return ready.error();
    }
  }
  if (auto ready = wait_for_nodes(cluster); !ready) return ready.error();
  return started;
}

Status stop_cluster(const LocalCluster& cluster, Duration patience) {
  const auto endpoint = net::parse_endpoint(cluster.endpoint);
  if (is_up(cluster) && endpoint) {
    const Client client(Target{*endpoint, cluster.directory, true, ""});
    const auto asked = client.post("/shutdown", {{"checkpoint", "1"}});
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (asked && is_alive(cluster.processes.front()) && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(20ms);
    }
  }
  // Executors leave their tasks running when they are told to end, so daemons first and then whoever is left.
  std::vector<pid_t> daemons;
  for (const LocalProcess& process : cluster.processes) {
    if (is_alive(process)) daemons.push_back(process.pid);
  }
  (void)end_processes(daemons, 5s);
  const std::vector<pid_t> left = end_processes(all_processes(cluster), 5s);
  if (!left.empty()) {
    std::vector<std::string> names;
    for (const pid_t pid : left) names.push_back(format("{}", pid));
    return Error{Errc::io, "these processes could not be ended: " + join(names, ", ")};
  }
  std::error_code ignored;
  std::filesystem::remove(file_of(cluster.directory), ignored);
  return {};
}

}  // namespace trainyard::cli
