// A shard as a process: binds the tensor channel, registers with the master, serves once the gang is
// complete, and ends when it is dismissed. Everything here runs on the reactor's thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "common/base/result.hpp"
#include "common/config/job_spec.hpp"
#include "common/net/data_channel.hpp"
#include "common/net/reactor.hpp"
#include "common/runtime/member.hpp"
#include "daemons/ps/data_plane.hpp"

namespace trainyard::ps {

class Shell {
 public:
  Shell(net::Reactor& reactor, runtime::TaskEnvironment environment, config::JobSpec job);
  /// Binds and registers.
  Status start();
  /// How the process ends, once the reactor has stopped.
  int exit_code() const { return exit_code_; }

 private:
  void received(const protocol::Message& message);
  void serve(const protocol::Roster& roster);
  std::optional<std::string> other_half(const protocol::Roster& roster) const;
  void report(const Written& written);
  Status restore(Core& core, const std::string& directory) const;
  void tell();
  void end(int exit_code);

  net::Reactor& reactor_;
  const runtime::TaskEnvironment environment_;
  const config::JobSpec job_;
  std::unique_ptr<net::DataServer> server_;  // until the data plane takes it
  std::unique_ptr<runtime::Member> member_;
  std::unique_ptr<DataPlane> plane_;
  std::uint64_t epoch_ = 0;  // of the roster
  bool follows_ = false;
  Work told_;
  Time told_at_{};
  int exit_code_ = 0;
};

}  // namespace trainyard::ps
