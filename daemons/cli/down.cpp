#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "daemons/cli/context.hpp"
#include "daemons/cli/local_cluster.hpp"
#include "daemons/cli/terminal.hpp"

namespace trainyard::cli {

namespace {

int down(std::string directory) {
  if (directory.empty()) directory = default_cluster_directory();
  std::error_code failed;
  directory = std::filesystem::absolute(directory, failed).lexically_normal().string();
  while (directory.size() > 1 && directory.back() == '/') directory.pop_back();
  const auto cluster = read_cluster(directory);
  if (!cluster && cluster.error().code == Errc::not_found) {
    say("no cluster runs in {}", directory);
    return exit_ok;
  }
  if (!cluster) return fail(cluster.error());
  say("stopping the cluster in {}; running jobs are checkpointed first", directory);
  if (auto stopped = stop_cluster(*cluster); !stopped) return fail(stopped.error());
  say("all of it is gone; what the master knew stays in {}/master", directory);
  return exit_ok;
}

}  // namespace

void add_down(CLI::App& app, Context& context) {
  auto* verb =
      app.add_subcommand("down", "Stop the cluster that 'up' started; running jobs are checkpointed first");
  auto directory = std::make_shared<std::string>();
  verb->add_option("--dir", *directory, "The directory that was given to 'up'");
  verb->callback([&context, directory] { context.action = [directory] { return down(*directory); }; });
}

}  // namespace trainyard::cli
