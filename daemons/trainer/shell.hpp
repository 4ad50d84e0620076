// Shell of a trainer: its line to the master on the reactor's thread, the training on the compute thread.
// Decides when the process ends, nothing else.
#pragma once

#include <memory>
#include <thread>

#include "common/config/job_spec.hpp"
#include "common/net/http.hpp"
#include "common/net/reactor.hpp"
#include "common/runtime/member.hpp"
#include "daemons/trainer/training.hpp"

namespace trainyard::trainer {

class Shell {
 public:
  Shell(net::Reactor& reactor, runtime::TaskEnvironment environment, config::JobSpec job);
  /// Ends the compute thread.
  ~Shell();
  Shell(const Shell&) = delete;
  Shell& operator=(const Shell&) = delete;

  /// Listens, connects, begins to train.
  Status start();
  /// How the process ends, once the reactor has stopped.
  int exit_code() const { return exit_code_; }

 private:
  Status serve();
  void received(const protocol::Message& message);
  void ended(const Status& status);

  net::Reactor& reactor_;
  const runtime::TaskEnvironment environment_;
  const config::JobSpec job_;
  Link link_;
  std::unique_ptr<net::Server> server_;  // /metrics and /healthz of this task
  std::unique_ptr<runtime::Member> member_;
  std::thread compute_;
  int exit_code_ = 0;
};

}  // namespace trainyard::trainer
