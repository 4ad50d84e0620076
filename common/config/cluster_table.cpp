#include <set>

#include "common/config/fields.hpp"
#include "common/config/tables.hpp"

namespace trainyard::config {

namespace {

/// "host:port"; what it resolves to is the network layer's business.
std::string accept_endpoint(const std::string& text) {
  const auto colon = text.rfind(':');
  const auto port =
      colon == std::string::npos ? std::nullopt : parse_uint(std::string_view(text).substr(colon + 1));
  if (colon == 0 || !port || *port > 65535)
    return format("'{}' is not host:port, for example 127.0.0.1:7077", shortened(text));
  return "";
}

Table<MasterSection> master_table() {
  using S = MasterSection;
  return {
      text(&S::listen, "listen",
           "Address of the HTTP API and of executors and tasks; port 0 picks a free one.", accept_endpoint),
      text(&S::state_dir, "state_dir", "Directory of the journal; one master at a time."),
      duration(&S::heartbeat_every, "heartbeat_every", "How often executors report."),
      duration(&S::unreachable_after, "unreachable_after", "A node silent for so long gets nothing new."),
      duration(&S::lost_after, "lost_after",
               "A node silent for so long is given up; its gangs start elsewhere."),
      duration(&S::recovery_grace, "recovery_grace",
               "After a restart of the master, nodes have so long to come back."),
      duration(&S::register_within, "register_within", "A launched task must have registered by then."),
      integer(&S::jobs_kept, "jobs_kept", 1, 1'000'000, "Ended jobs that stay listed."),
      text(&S::record, "record",
           "File in which every event is kept for `trainyard-master --replay`, relative to state_dir; an "
           "older "
           "one becomes FILE.old. Empty: none."),
      size(&S::record_bytes_max, "record_bytes_max", 4096, "Size at which a recording ends."),
  };
}

Table<ExecutorSection> executor_table() {
  using S = ExecutorSection;
  return {
      text(&S::master, "master", "Address of the master.", accept_endpoint),
      text(&S::name, "name", "Name of the node, unique in the cluster; empty: the host's name."),
      text(&S::address, "address", "Address on which tasks of this node listen."),
      text(&S::work_dir, "work_dir", "Directory of the tasks: working directories, logs, exit records."),
      number(&S::cpus, "cpus", 0, 65536, "CPUs offered; 0: as detected."),
      size(&S::memory, "memory", 0, "Memory offered; 0: as detected."),
      integer(&S::fake_gpus, "fake_gpus", 0, 1024,
              "Offers so many GPUs that do not exist; for tests of placement."),
      labels(&S::labels, "labels", "What jobs may ask for by placement.require."),
      duration(&S::orphan_after, "orphan_after",
               "Master away for so long: tasks are stopped; 0s: they run on."),
      size(&S::log_bytes_max, "log_bytes_max", 4096,
           "Size at which a log of a task is rotated; one older file is kept."),
      duration(&S::stop_grace, "stop_grace", "Between SIGTERM and SIGKILL of a task."),
      text(&S::record, "record",
           "File in which every event is kept for `trainyard-executor --replay`, relative to work_dir; an "
           "older "
           "one becomes FILE.old. Empty: none."),
      size(&S::record_bytes_max, "record_bytes_max", 4096, "Size at which a recording ends."),
  };
}

Table<SecuritySection> security_table() {
  using S = SecuritySection;
  return {
      text(&S::token_file, "token_file", "File with the cluster's shared secret; needed beyond loopback."),
      text(&S::tls_certificate, "tls_certificate", "PEM file; needed beyond loopback."),
      text(&S::tls_key, "tls_key", "PEM file; needed beyond loopback."),
  };
}

Table<LogSection> log_table() {
  using S = LogSection;
  const auto one_of = [](const std::set<std::string>& names) {
    return [names](const std::string& text) {
      std::vector<std::string> list(names.begin(), names.end());
      return names.contains(text) ? std::string()
                                  : format("'{}' is not one of {}", shortened(text), join(list, ", "));
    };
  };
  return {
      text(&S::level, "level", "debug, info, warn or error.", one_of({"debug", "info", "warn", "error"})),
      text(&S::format, "format", "text for people, json for machines.", one_of({"text", "json"})),
  };
}

}  // namespace

const Table<ClusterConfig>& cluster_table() {
  using C = ClusterConfig;
  static const Table<ClusterConfig> table{
      section(&C::master, "master", master_table(), "The master of the cluster."),
      section(&C::executor, "executor", executor_table(), "Each executor."),
      section(&C::security, "security", security_table(), "Who may talk to the daemons."),
      section(&C::log, "log", log_table(), "What the daemons write to stderr."),
  };
  return table;
}

void check_cluster(const Node& root, const ClusterConfig& config, Problems& problems) {
  if (config.master.heartbeat_every < 10ms)
    problems.add(nearest_node(root, "master.heartbeat_every").place, "master.heartbeat_every",
                 "is below 10ms");
  if (config.master.unreachable_after < 2 * config.master.heartbeat_every)
    problems.add(
        nearest_node(root, "master.unreachable_after").place, "master.unreachable_after",
        format("must be at least twice heartbeat_every ({})", duration_text(config.master.heartbeat_every)));
  if (config.master.lost_after < config.master.unreachable_after)
    problems.add(
        nearest_node(root, "master.lost_after").place, "master.lost_after",
        format("must not be below unreachable_after ({})", duration_text(config.master.unreachable_after)));
}

}  // namespace trainyard::config
