// Shim: the parent of one task. Runs it, keeps what it prints and how it ended, and leaves nothing of it
// behind. It knows no master and no executor, and outlives both; one thread, which waits in poll().
#pragma once

#include <sys/types.h>

#include <array>
#include <optional>
#include <string>

#include "common/base/result.hpp"
#include "common/base/time.hpp"
#include "common/runtime/process.hpp"
#include "common/runtime/task_files.hpp"
#include "daemons/shim/output.hpp"

namespace trainyard::shim {

/// Signals: SIGTERM ends the task's process group and, after the grace, SIGKILLs all of it; the grace is that
/// of launch.json, or the milliseconds that come with the signal (sigqueue).
class Shim {
 public:
  Shim(std::string task_dir, runtime::ShimLaunch launch);
  ~Shim();
  Shim(const Shim&) = delete;
  Shim& operator=(const Shim&) = delete;

  /// Until the task and all its descendants are gone and exit.json is durable. A task that cannot be started
  /// is no error here: that is in exit.json too.
  Status run();

 private:
  struct Stream {
    int descriptor = -1;
    LogFile log;
    LineTail tail;
  };

  Status prepare();
  Status start();
  void watch();
  void read_signals();
  void reap_children();
  void stop(Duration grace);
  void read_stream(Stream& stream);
  void kill_rest();
  void sample_memory();
  Status record();

  const std::string task_dir_;
  const runtime::ShimLaunch launch_;
  std::array<Stream, 2> streams_;
  int signals_ = -1;
  pid_t child_ = 0;
  std::optional<runtime::ExitStatus> ended_;
  std::optional<Time> kill_at_;
  std::uint64_t memory_peak_ = 0;
  Time memory_due_{};
  std::string error_;
};

}  // namespace trainyard::shim
