#include <CLI/CLI.hpp>
#include <memory>

#include "common/base/text.hpp"
#include "daemons/cli/client.hpp"
#include "daemons/cli/context.hpp"
#include "daemons/cli/table.hpp"
#include "daemons/cli/terminal.hpp"

namespace trainyard::cli {

namespace {

int cancel(const std::string& text, const Context& context) {
  const auto id = parse_job_id(text);
  if (!id) return fail(id.error());
  const auto client = connect(context);
  if (!client) return fail(client.error());
  const auto answer = client->post(format("/jobs/{}/cancel", *id));
  if (!answer) return fail(answer.error());
  say("job {}: {}", *id, text_at(*answer, "state"));
  return exit_ok;
}

}  // namespace

void add_cancel(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("cancel", "Stop a job; it is checkpointed first");
  auto id = std::make_shared<std::string>();
  verb->add_option("ID", *id, "The job")->required();
  verb->callback([&context, id] { context.action = [&context, id] { return cancel(*id, context); }; });
}

}  // namespace trainyard::cli
