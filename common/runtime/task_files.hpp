// The files by which an executor and a shim talk, in the directory of one task: launch.json (executor to
// shim), status.json and exit.json (shim to executor), stdout.log and stderr.log with one older file each.
// Both sides read and write them through this header alone; any reader may be a later process.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/base/json.hpp"
#include "common/base/result.hpp"
#include "common/base/time.hpp"

namespace trainyard::runtime {

inline constexpr std::size_t last_lines_max = 20, last_line_bytes_max = 500;

/// What a shim is to run. `note` is the executor's own: it comes back when it adopts the task.
struct ShimLaunch {
  std::vector<std::string> command;
  std::map<std::string, std::string> environment;
  std::string directory;
  std::uint64_t log_bytes_max = 64ull << 20;  // per stream, before it rotates
  Duration grace = 10s;                       // between SIGTERM and SIGKILL
  Json note;
};

/// Pids with their start ticks, so that they name processes for good. The child's are 0 until it runs.
struct ShimStatus {
  pid_t shim = 0, child = 0;
  std::uint64_t shim_start = 0, child_start = 0;
};

struct ExitRecord {
  int exit_code = 0, signal = 0;
  std::uint64_t memory_peak = 0;  // bytes
  WallMillis ended = 0;
  std::uint64_t log_bytes_dropped = 0;  // the disk was full
  std::string error;                    // why it could not be started
  std::vector<std::string> last_lines;  // of stderr
};

Status write_launch(const std::string& task_dir, const ShimLaunch& launch);
Result<ShimLaunch> read_launch(const std::string& task_dir);
Status write_status(const std::string& task_dir, const ShimStatus& status);
Result<ShimStatus> read_status(const std::string& task_dir);
Status write_exit(const std::string& task_dir, const ExitRecord& record);
Result<ExitRecord> read_exit(const std::string& task_dir);

/// Bytes of a log from `offset` of the whole stream, also when it was rotated; what rotated away is skipped.
struct LogPart {
  std::string bytes;
  std::uint64_t offset = 0;  // of the first byte
  std::uint64_t end = 0;     // size of the stream now
};
/// `file` is the path of stdout.log or stderr.log; `tail_lines` not 0: the last lines instead of an offset.
/// A log that does not exist is empty.
Result<LogPart> read_log(const std::string& file, std::uint64_t offset, std::uint64_t bytes_max,
                         std::uint32_t tail_lines);

/// Where the current file of a log begins in the whole stream; kept beside it.
Status write_log_start(const std::string& file, std::uint64_t start);

}  // namespace trainyard::runtime
