#include <CLI/CLI.hpp>
#include <memory>

#include "daemons/cli/context.hpp"
#include "daemons/cli/follow.hpp"
#include "daemons/cli/submission.hpp"
#include "daemons/cli/table.hpp"
#include "daemons/cli/terminal.hpp"

namespace trainyard::cli {

namespace {

struct Options {
  std::string file;
  std::vector<std::string> overrides;
  bool wait = false, dry_run = false;
  std::string output = "table";
};

int submit(const Options& options, const Context& context) {
  const auto wanted = parse_format(options.output);
  if (!wanted) return fail(wanted.error());
  const bool plain = *wanted == Format::table || *wanted == Format::wide;
  const auto spec = load_job(options.file, options.overrides);
  if (!spec) return fail(spec.error());
  const auto client = connect(context);
  if (!client) return fail(client.error());
  const auto accepted = submit_job(*client, *spec, options.dry_run);
  if (!accepted) return fail(accepted.error());

  if (options.dry_run) {
    if (plain) {
      say("{}: the cluster at {} would accept it", spec->name, net::name(client->target().endpoint));
    } else {
      put(structured(*accepted, *wanted));
    }
    return exit_ok;
  }
  const std::int64_t id = integer_at(*accepted, "id");
  if (!options.wait) {
    put(plain ? format("{}\n", id) : structured(*accepted, *wanted));
    return exit_ok;
  }
  if (plain) put(format("{}\n", id));
  catch_interrupts();
  const auto outcome = follow_job(*client, id);
  if (!outcome) return fail(outcome.error());
  if (outcome->interrupted) {
    say("interrupted; job {} goes on", id);
    return exit_interrupted;
  }
  if (plain) {
    say_line(summary_text(outcome->job));
  } else {
    put(structured(outcome->job, *wanted));
  }
  return outcome_code(outcome->job);
}

}  // namespace

void add_submit(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("submit", "Check a job, submit it, print its id");
  auto options = std::make_shared<Options>();
  verb->add_option("JOB.yaml", options->file, "The job file")->required();
  verb->add_option("--set", options->overrides, "Override a field: --set train.epochs=3")
      ->take_all()
      ->allow_extra_args(false);
  verb->add_flag("--wait", options->wait, "Follow it, and exit with its outcome");
  verb->add_flag("--dry-run", options->dry_run, "Check it against the cluster without submitting");
  verb->add_option("-o,--output", options->output, "table, wide, json or yaml");
  verb->callback(
      [&context, options] { context.action = [&context, options] { return submit(*options, context); }; });
}

}  // namespace trainyard::cli
