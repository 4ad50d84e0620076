#include <CLI/CLI.hpp>
#include <memory>

#include "common/config/read.hpp"
#include "daemons/cli/context.hpp"
#include "daemons/cli/terminal.hpp"

namespace trainyard::cli {

namespace {

const std::vector<std::string> kinds = {"job", "cluster"};

}  // namespace

void add_schema(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("schema", "Print the JSON Schema of job or cluster files, for editors");
  auto kind = std::make_shared<std::string>();
  verb->add_option("KIND", *kind, "job or cluster")->required()->check(CLI::IsMember(kinds));
  verb->callback([&context, kind] {
    context.action = [kind] {
      put(to_text(*kind == "job" ? config::job_schema() : config::cluster_schema(), 2) + "\n");
      return exit_ok;
    };
  });
}

void add_reference(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("reference", "Print the reference page of job or cluster files (Markdown)");
  auto kind = std::make_shared<std::string>();
  verb->add_option("KIND", *kind, "job or cluster")->required()->check(CLI::IsMember(kinds));
  verb->callback([&context, kind] {
    context.action = [kind] {
      put(*kind == "job" ? config::job_reference() : config::cluster_reference());
      return exit_ok;
    };
  });
}

}  // namespace trainyard::cli
