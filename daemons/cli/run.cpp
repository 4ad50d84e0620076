#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "daemons/cli/context.hpp"
#include "daemons/cli/follow.hpp"
#include "daemons/cli/local_cluster.hpp"
#include "daemons/cli/submission.hpp"
#include "daemons/cli/table.hpp"
#include "daemons/cli/terminal.hpp"

namespace trainyard::cli {

namespace {

struct Options {
  std::string file;
  std::vector<std::string> overrides;
  std::uint32_t executors = 1;
  std::string output = "table";
  bool profile = false;
};

/// A cluster in a temporary directory that ends with this value.
class EphemeralCluster {
 public:
  static Result<std::unique_ptr<EphemeralCluster>> start(std::uint32_t executors, double cpus_needed,
                                                         const Context& context) {
    const char* base = std::getenv("TMPDIR");
    std::string directory =
        std::string(base == nullptr || *base != '/' ? "/tmp" : base) + "/trainyard-run-XXXXXX";
    if (mkdtemp(directory.data()) == nullptr) {
      return Error{Errc::io, format("no temporary directory {}: {}", directory,
                                    std::generic_category().message(errno))};
    }
    // A laptop runs any gang, slowly: each executor offers at least what the job asks for.
    const double detected = std::max(1u, std::thread::hardware_concurrency());
    ClusterPlan plan{.directory = directory,
                     .executors = executors,
                     .orphan_after = 15s,
                     .log_level = context.log_level,
                     .log_format = context.log_format};
    if (cpus_needed > detected) plan.cpus = std::ceil(cpus_needed);
    auto cluster = start_cluster(plan);
    if (!cluster) {
      std::error_code ignored;
      std::filesystem::remove_all(directory, ignored);
      return cluster.error();
    }
    return std::unique_ptr<EphemeralCluster>(new EphemeralCluster(std::move(*cluster)));
  }

  ~EphemeralCluster() {
    if (auto stopped = stop_cluster(cluster_, 10s); !stopped) warn(stopped.error().message);
    std::error_code ignored;
    std::filesystem::remove_all(cluster_.directory, ignored);
  }
  EphemeralCluster(const EphemeralCluster&) = delete;
  EphemeralCluster& operator=(const EphemeralCluster&) = delete;

  const std::string& endpoint() const { return cluster_.endpoint; }

 private:
  explicit EphemeralCluster(LocalCluster cluster) : cluster_(std::move(cluster)) {}
  LocalCluster cluster_;
};

int follow_to_the_end(const Client& client, std::int64_t id, bool own_cluster, Format format_wanted) {
  const auto outcome = follow_job(client, id);
  if (!outcome) return fail(outcome.error());
  if (outcome->interrupted) {
    if (own_cluster) {
      say("interrupted; stopping the job and its cluster");
    } else {
      say("interrupted; job {0} goes on. See 'trainyard job {0}', stop it with 'trainyard cancel {0}'", id);
    }
    return exit_interrupted;
  }
  const bool plain = format_wanted == Format::table || format_wanted == Format::wide;
  put(plain ? summary_text(outcome->job) : structured(outcome->job, format_wanted));
  return outcome_code(outcome->job);
}

int run(const Options& options, const Context& context) {
  const auto format_wanted = parse_format(options.output);
  if (!format_wanted) return fail(format_wanted.error());
  std::vector<std::string> overrides = options.overrides;
  if (options.profile) overrides.push_back("train.profile=true");
  const auto spec = load_job(options.file, overrides);
  if (!spec) return fail(spec.error());
  auto target = find_master(context);
  if (!target) return fail(target.error());

  catch_interrupts();
  std::unique_ptr<EphemeralCluster> own;
  if (!target->configured) {
    if (auto checked = check_paths(*spec); !checked) return fail(checked.error());
    auto started = EphemeralCluster::start(options.executors, cpus_needed(*spec), context);
    if (!started) return was_interrupted() ? exit_interrupted : fail(started.error());
    own = std::move(*started);
    const auto endpoint = net::parse_endpoint(own->endpoint());
    if (!endpoint) return fail(endpoint.error());
    target = Target{*endpoint, "the cluster of this run", true, ""};
  }
  const Client client(*target);
  const auto accepted = submit_job(client, *spec, false);
  if (!accepted) return fail(accepted.error());
  const std::int64_t id = integer_at(*accepted, "id");
  say("job {} ({}) on {}", id, text_at(*accepted, "name"),
      own ? format("a local cluster of its own, http://{}/", own->endpoint()) : net::name(target->endpoint));
  return follow_to_the_end(client, id, own != nullptr, *format_wanted);
}

}  // namespace

void add_run(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("run", "Submit a job, follow it, and exit with its outcome");
  auto options = std::make_shared<Options>();
  verb->add_option("JOB.yaml", options->file, "The job file")->required();
  verb->add_option("--set", options->overrides, "Override a field: --set train.epochs=3")
      ->take_all()
      ->allow_extra_args(false);
  verb->add_option("--executors", options->executors,
                   "Executors of the cluster that is made for this job alone")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  verb->add_flag(
      "--profile", options->profile,
      "Time the operators of some steps: a table in the trainers' logs, trace.json beside the model");
  verb->add_option("-o,--output", options->output, "table, wide, json or yaml: how the outcome is printed");
  verb->footer(
      "Without a configured master, and without a cluster from 'trainyard up', a cluster is started for "
      "this\n"
      "job and stopped after it.");
  verb->callback(
      [&context, options] { context.action = [&context, options] { return run(*options, context); }; });
}

}  // namespace trainyard::cli
