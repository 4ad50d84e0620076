#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "common/store/file.hpp"
#include "daemons/cli/context.hpp"
#include "daemons/cli/local_cluster.hpp"
#include "daemons/cli/terminal.hpp"

namespace trainyard::cli {

namespace {

struct Options {
  ClusterPlan plan;
};

void tell_how_to_reach(const LocalCluster& cluster) {
  put(cluster.endpoint + "\n");
  if (cluster.directory == default_cluster_directory()) {
    say("dashboard: http://{}/   the other commands find it by themselves; stop it with 'trainyard down'",
        cluster.endpoint);
  } else {
    say("dashboard: http://{}/   reach it with: export TRAINYARD_MASTER={}", cluster.endpoint,
        cluster.endpoint);
    say("stop it with: trainyard down --dir {}", cluster.directory);
  }
}

/// A second `up` changes nothing on a healthy cluster, and brings back what died on another.
int find_or_mend(LocalCluster cluster) {
  const std::size_t executors = cluster.processes.size() - 1;
  const std::string size = format("of {} executor{}", executors, executors == 1 ? "" : "s");
  const auto started = mend_cluster(cluster);
  if (!started) return fail(started.error());
  if (started->empty()) {
    say("a cluster {} runs already in {}", size, cluster.directory);
  } else {
    say("a cluster {} runs already in {}; started again: {}", size, cluster.directory, join(*started, ", "));
  }
  tell_how_to_reach(cluster);
  return exit_ok;
}

bool any_alive(const LocalCluster& cluster) {
  for (const LocalProcess& process : cluster.processes) {
    if (is_alive(process)) return true;
  }
  return false;
}

int up(const Options& options, const Context& context) {
  ClusterPlan plan = options.plan;
  plan.log_level = context.log_level;
  plan.log_format = context.log_format;
  if (plan.directory.empty()) plan.directory = default_cluster_directory();
  std::error_code failed;
  plan.directory = std::filesystem::absolute(plan.directory, failed).lexically_normal().string();
  while (plan.directory.size() > 1 && plan.directory.back() == '/') plan.directory.pop_back();
  if (auto made = store::make_directories(plan.directory); !made) return fail(made.error());

  const auto lock = store::FileLock::take(plan.directory + "/up.lock");
  if (!lock) {
    if (lock.error().code != Errc::conflict) return fail(lock.error());
    return fail(lock.error().with("another 'up' is at work on this directory"));
  }
  catch_interrupts();
  if (auto present = read_cluster(plan.directory); present) {
    if (!present->endpoint.empty() && any_alive(*present)) return find_or_mend(std::move(*present));
    if (auto stopped = stop_cluster(*present); !stopped) return fail(stopped.error());
  }
  const auto cluster = start_cluster(plan);
  if (!cluster) return was_interrupted() ? exit_interrupted : fail(cluster.error());
  say("cluster with {} executor{} is up in {}", plan.executors, plan.executors == 1 ? "" : "s",
      plan.directory);
  tell_how_to_reach(*cluster);
  return exit_ok;
}

}  // namespace

void add_up(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("up", "Start a cluster on this machine; returns when it is ready");
  auto options = std::make_shared<Options>();
  options->plan.executors = 2;
  verb->add_option("--executors", options->plan.executors, "How many executors")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  verb->add_option("--cpus", options->plan.cpus, "CPUs that each offers (default: all of the machine)")
      ->check(CLI::Range(0.1, 4096.0));
  verb->add_option("--gpus", options->plan.gpus,
                   "GPUs that each pretends to have (default: those that are there)")
      ->check(CLI::Range(0, 64));
  verb->add_option("--dir", options->plan.directory, "Where state, logs and tasks' files are kept");
  verb->add_option("--port", options->plan.port, "Port of the master (default: a free one)")
      ->check(CLI::Range(0, 65535));
  verb->callback(
      [&context, options] { context.action = [&context, options] { return up(*options, context); }; });
}

}  // namespace trainyard::cli
