// Shell of the executor: turns messages, exits of processes and ticks into events for the core, and the
// core's actions into sends, spawns and signals. Decides nothing. Lives on the reactor's thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "common/base/result.hpp"
#include "common/net/control.hpp"
#include "common/net/reactor.hpp"
#include "common/runtime/recorder.hpp"
#include "common/store/file.hpp"
#include "daemons/executor/core.hpp"
#include "daemons/executor/processes.hpp"
#include "daemons/executor/sandbox.hpp"

namespace trainyard::executor {

/// Where events are recorded, relative to work_dir; an empty file: nowhere.
struct RecordOptions {
  std::string file;
  std::uint64_t bytes_max = 0;
};

class Shell {
 public:
  /// Takes work_dir (Errc::conflict names another executor on it), then finds what an earlier executor left.
  static Result<std::unique_ptr<Shell>> open(net::Reactor& reactor, NodeFacts facts, SandboxFacts sandbox,
                                             const RecordOptions& record = {});
  /// Begins to look for the master; everything after this happens inside reactor.run().
  void start(const net::Endpoint& master);
  /// Stops talking; tasks run on.
  void leave(const std::string& why);
  /// Why the master wanted this executor to go, if it did.
  const std::optional<std::string>& quit_reason() const { return quit_reason_; }

 private:
  Shell(net::Reactor& reactor, store::FileLock lock, NodeFacts facts, SandboxFacts sandbox);
  Status begin_recording(const std::string& work_dir, const RecordOptions& record);
  void find_tasks();
  void dispatch(const Event& event);
  void carry_out(const Action& action);
  net::SessionEvents opened(std::shared_ptr<net::Session> session);
  void unreachable(const std::string& reason);
  Instant now() const { return clock_.now(); }

  net::Reactor& reactor_;
  const store::FileLock lock_;
  const SystemClock clock_;
  const Instant began_;
  State state_;
  std::optional<runtime::Recorder> recorder_;  // when asked to
  Sandbox sandbox_;
  Processes processes_;
  std::shared_ptr<net::Session> session_;
  std::unique_ptr<net::Connector> connector_;
  std::string last_reason_;  // so that a long outage is one line in the log
  std::optional<std::string> quit_reason_;
};

}  // namespace trainyard::executor
