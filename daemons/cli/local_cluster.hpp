// A cluster on this machine: one master and some executors below one directory, described by its
// cluster.json. Starts it, finds it again, mends it, stops it. It talks to the daemons by command line,
// signals and the HTTP API alone.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/json.hpp"
#include "common/base/result.hpp"
#include "common/base/time.hpp"

namespace trainyard::cli {

/// One daemon. pid and start_ticks together name it for good; pid 0: never started.
struct LocalProcess {
  std::string name;  // "master", "node-1"
  std::vector<std::string> command;
  std::string log;
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;
};

struct LocalCluster {
  std::string directory;  // absolute
  std::string endpoint;   // of the master, "127.0.0.1:40123"; empty before it listens
  std::vector<LocalProcess> processes;
};

struct ClusterPlan {
  std::string directory;
  std::uint32_t executors = 1;
  double cpus = 0;          // of each executor; 0: all of the machine
  std::uint32_t gpus = 0;   // fake ones of each executor, for trying placement; 0: as detected
  std::uint16_t port = 0;   // of the master; 0 picks a free one
  Duration orphan_after{};  // tasks stop when the master is away so long; 0: never
  std::string log_level = "info", log_format = "text";
};

/// $XDG_STATE_HOME/trainyard, or ~/.local/state/trainyard.
std::string default_cluster_directory();

/// Errc::not_found when `directory` has no cluster.json.
Result<LocalCluster> read_cluster(const std::string& directory);
/// The master's process lives.
bool is_up(const LocalCluster& cluster);
bool is_alive(const LocalProcess& process);

/// Starts the daemons, and waits until the master is ready and has heard of every executor. Whatever was
/// started is stopped again on failure, and the error has the last lines of the log.
Result<LocalCluster> start_cluster(const ClusterPlan& plan);

/// Starts those daemons again that died, with the command lines and the port that they had. Gives their
/// names.
Result<std::vector<std::string>> mend_cluster(LocalCluster& cluster);

/// Jobs are checkpointed and stopped by the master, then every process of the cluster ends, by force at last.
/// Errc::io names what could not be ended.
Status stop_cluster(const LocalCluster& cluster, Duration patience = 30s);

}  // namespace trainyard::cli
