// The processes of a local cluster as /proc shows them: also those that a restarted daemon left behind.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "common/base/time.hpp"

namespace trainyard::cli {

/// False for zombies: they hold nothing any more.
bool process_runs(pid_t pid);

/// Processes of Trainyard that work below `directory`: daemons by their binary's name, tasks by their
/// environment. Never the calling process.
std::vector<pid_t> processes_below(const std::string& directory);

/// SIGTERM to all, then SIGKILL to those that are still there after `patience`. Gives those that survived
/// both.
std::vector<pid_t> end_processes(const std::vector<pid_t>& pids, Duration patience);

/// The last lines of a text file, at most `lines` and 8 KiB; empty when there is no such file.
std::string last_lines(const std::string& file, std::size_t lines);

}  // namespace trainyard::cli
