#include <CLI/CLI.hpp>

#include "daemons/cli/context.hpp"
#include "daemons/cli/terminal.hpp"

namespace trainyard::cli {

void add_version(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("version", "Print the version");
  verb->callback([&context] {
    context.action = [] {
      put("trainyard " TRAINYARD_VERSION "\n");
      return exit_ok;
    };
  });
}

}  // namespace trainyard::cli
