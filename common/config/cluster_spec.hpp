// One cluster's config file as a plain value: the sections that master and executors read.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "common/base/time.hpp"

namespace trainyard::config {

struct MasterSection {
  std::string listen = "127.0.0.1:7077";  // HTTP API and control protocol share the port; 0 picks a free one
  std::string state_dir = "/var/lib/trainyard/master";
  Duration heartbeat_every = 250ms;  // asked of executors
  Duration unreachable_after = 5s;   // silent so long: nothing new is placed there
  Duration lost_after = 30s;         // silent so long: its tasks are given up
  Duration recovery_grace = 30s;     // after a restart: nodes have so long to come back
  Duration register_within = 60s;    // a launched task must have registered by then
  std::uint32_t jobs_kept = 1000;    // finished jobs that stay listed
  std::string record;                // events go to this file, relative to state_dir; empty: none
  std::uint64_t record_bytes_max = 256ull << 20;
};

struct ExecutorSection {
  std::string master = "127.0.0.1:7077";
  std::string name;                   // empty: the host's name
  std::string address = "127.0.0.1";  // where tasks of this node listen
  std::string work_dir = "/var/lib/trainyard/executor";
  double cpus = 0;              // 0: as detected
  std::uint64_t memory = 0;     // 0: as detected
  std::uint32_t fake_gpus = 0;  // offers so many GPUs that are not there; for tests
  std::map<std::string, std::string> labels;
  Duration orphan_after = 0s;                 // master away so long: tasks are stopped; 0: they run on
  std::uint64_t log_bytes_max = 64ull << 20;  // per stream of a task before it rotates
  Duration stop_grace = 10s;                  // between SIGTERM and SIGKILL
  std::string record;                         // events go to this file, relative to work_dir; empty: none
  std::uint64_t record_bytes_max = 256ull << 20;
};

struct SecuritySection {
  std::string token_file;                // a shared secret; needed beyond loopback
  std::string tls_certificate, tls_key;  // PEM files; needed beyond loopback
};

struct LogSection {
  std::string level = "info";
  std::string format = "text";
};

struct ClusterConfig {
  MasterSection master;
  ExecutorSection executor;
  SecuritySection security;
  LogSection log;
};

}  // namespace trainyard::config
