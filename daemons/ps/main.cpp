#include "common/config/read.hpp"
#include "common/net/data_channel.hpp"
#include "common/net/reactor.hpp"
#include "common/runtime/daemon.hpp"
#include "common/runtime/member.hpp"
#include "common/runtime/process.hpp"
#include "daemons/ps/shell.hpp"

int main(int argc, char** argv) {
  using namespace trainyard;
  const auto loaded = runtime::load_cluster_config(
      "trainyard-ps", "A parameter-server shard of a training job; executors start it.", argc, argv);
  if (!loaded.config) return loaded.exit_code;

  const auto environment = runtime::read_task_environment(runtime::environment());
  if (!environment) return runtime::fail(environment.error());
  const auto text = config::load_text(environment->job_file);
  if (!text) return runtime::fail(text.error());
  const auto job = config::read_job(*text, environment->job_file, "/");
  if (!job) return runtime::fail(job.error());

  net::keep_freed_memory();
  net::Reactor reactor;
  ps::Shell shell(reactor, *environment, *job);
  if (const Status started = shell.start(); !started) return runtime::fail(started.error());
  reactor.run();
  return shell.exit_code();
}
