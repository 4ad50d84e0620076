// trainyard-trainer: a task of a training job, or, by hand, `evaluate`, `predict` and `inspect`.
#include <cstring>

#include "common/config/read.hpp"
#include "common/net/reactor.hpp"
#include "common/runtime/daemon.hpp"
#include "common/runtime/process.hpp"
#include "daemons/trainer/bundle/commands.hpp"
#include "daemons/trainer/shell.hpp"

int main(int argc, char** argv) {
  using namespace trainyard;
  if (argc > 1 && std::strcmp(argv[1], "evaluate") == 0) return trainer::evaluate_main(argc - 1, argv + 1);
  if (argc > 1 && std::strcmp(argv[1], "predict") == 0) return trainer::predict_main(argc - 1, argv + 1);
  if (argc > 1 && std::strcmp(argv[1], "inspect") == 0) return trainer::inspect_main(argc - 1, argv + 1);
  const auto loaded = runtime::load_cluster_config("trainyard-trainer",
                                                   "Trains as a task of a job (executors start it), or works "
                                                   "on a model: 'evaluate', 'predict', 'inspect'.",
                                                   argc, argv);
  if (!loaded.config) return loaded.exit_code;

  const auto environment = runtime::read_task_environment(runtime::environment());
  if (!environment) return runtime::fail(environment.error());
  const auto text = config::load_text(environment->job_file);
  if (!text) return runtime::fail(text.error());
  const auto job = config::read_job(*text, environment->job_file, "/");
  if (!job) return runtime::fail(job.error());

  net::Reactor reactor;
  trainer::Shell shell(reactor, *environment, *job);
  if (const Status started = shell.start(); !started) return runtime::fail(started.error());
  reactor.run();
  return shell.exit_code();
}
