// trainyard: the command line. Parses, and does what the named verb says; all else is in the verbs' own
// files.
#include <CLI/CLI.hpp>
#include <csignal>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "daemons/cli/context.hpp"
#include "daemons/cli/terminal.hpp"

namespace trainyard::cli {

namespace {

void add_verbs(CLI::App& app, Context& context) {
  for (const auto add : {add_up, add_down, add_run, add_submit, add_validate, add_schema, add_reference,
                         add_jobs, add_job, add_logs, add_cancel, add_nodes, add_node, add_evaluate,
                         add_predict, add_inspect, add_completion, add_version}) {
    add(app, context);
  }
}

void describe(CLI::App& app, Context& context) {
  app.set_version_flag("--version", "trainyard " TRAINYARD_VERSION);
  app.add_option("--master", context.master, "HOST:PORT of the master");
  app.add_option("--config", context.config_file, "Cluster file that names the master and the token");
  app.add_option("--log-level", context.log_level,
                 "Of the daemons that are started: debug, info, warn, error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}));
  app.add_option("--log-format", context.log_format, "Of the daemons that are started: text or json")
      ->check(CLI::IsMember({"text", "json"}));
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(
      "The master is looked for in this order: --master, TRAINYARD_MASTER, the config file (--config,\n"
      "TRAINYARD_CONFIG, ./trainyard.yaml, $XDG_CONFIG_HOME/trainyard/config.yaml, "
      "/etc/trainyard/config.yaml),\n"
      "the cluster that 'trainyard up' started in its default directory, 127.0.0.1:7077.\n\n"
      "Exit codes: 0 done, 1 the job failed or was cancelled, 2 wrong usage or an invalid file, 3 the master "
      "cannot\n"
      "be reached, 4 no such job, task, node or bundle, 5 refused, 130 interrupted.");
}

/// CLI11 calls a misspelt verb an unexpected argument; the name that was meant says more.
std::string hint_for(const CLI::App& app, int argc, char** argv) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(verb->get_name());
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--master" || word == "--config" || word == "--log-level" || word == "--log-format") {
      ++i;
      continue;
    }
    if (word.empty()) continue;
    if (word.front() == '-') {
      const std::string option = word.substr(0, word.find('='));
      if (app.get_option_no_throw(option) != nullptr) continue;
      return format("; there is no option '{}' here, 'trainyard --help' lists them", option);
    }
    if (std::find(names.begin(), names.end(), word) != names.end()) {
      return format("; see 'trainyard {} --help'", word);
    }
    const auto near = nearest(word, names);
    return near ? format("; there is no command '{}', did you mean '{}'?", word, *near)
                : format("; there is no command '{}', 'trainyard --help' lists them", word);
  }
  return "; see 'trainyard --help'";
}

int usage_error(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  std::string message = error.what();
  while (!message.empty() && (message.back() == '\n' || message.back() == '.')) message.pop_back();
  return fail({Errc::invalid, message + hint_for(app, argc, argv)});
}

int start(int argc, char** argv) {
  Context context;
  CLI::App app{"Trains deep learning models on one machine or many.", "trainyard"};
  describe(app, context);
  add_verbs(app, context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // --help and --version come this way too, with exit code 0.
    if (error.get_exit_code() == 0) return app.exit(error);
    return usage_error(app, error, argc, argv);
  }
  const auto level = log::parse_level(context.log_level);
  log::configure({.daemon = "trainyard",
                  .level = level ? *level : log::Level::info,
                  .json = context.log_format == "json"});
  std::signal(SIGPIPE, SIG_IGN);  // a reader that goes away is seen at the write
  return exit_code_after(context.action());
}

}  // namespace

}  // namespace trainyard::cli

int main(int argc, char** argv) { return trainyard::cli::start(argc, argv); }
