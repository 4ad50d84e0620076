// Child processes: spawn in an own process group, watch, signal; and /proc as values.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/result.hpp"

namespace trainyard::runtime {

struct SpawnSpec {
  std::vector<std::string> command;                // [0] is a path or found in PATH
  std::map<std::string, std::string> environment;  // all of it; nothing is inherited
  std::string directory;                           // working directory
  std::string stdout_file, stderr_file;  // appended; empty: /dev/null. Ignored when descriptors are given
  int stdout_descriptor = -1, stderr_descriptor = -1;
  bool new_session = true;       // setsid: own session and process group
  bool die_with_parent = false;  // PR_SET_PDEATHSIG SIGKILL
};
Result<pid_t> spawn(const SpawnSpec& spec);  // exec failures are errors here, not exit codes

struct ExitStatus {
  int code = 0, signal = 0;
};
std::optional<ExitStatus> reap(pid_t child);  // never waits

/// Start time in clock ticks since boot: with the pid it names a process for good, also after pids were
/// reused. Nothing for a process that is gone or waits to be reaped.
std::optional<std::uint64_t> start_ticks(pid_t pid);
/// All live descendants, children first seen first.
std::vector<pid_t> descendants(pid_t root);
/// Live processes that were started with this entry ("NAME=value") in their environment, whoever is their
/// parent.
std::vector<pid_t> processes_with(const std::string& entry);
/// Resident memory in bytes; 0 for a process that is gone.
std::uint64_t resident_bytes(pid_t pid);
/// The environment of this process.
std::map<std::string, std::string> environment();

}  // namespace trainyard::runtime
