#include <CLI/CLI.hpp>
#include <memory>

#include "common/base/text.hpp"
#include "daemons/cli/context.hpp"
#include "daemons/cli/listing.hpp"
#include "daemons/cli/terminal.hpp"

namespace trainyard::cli {

namespace {

struct Options {
  ListOptions list;
  bool all = false;
  std::string queue;
};

std::string epoch_cell(const Json& progress) {
  const auto epochs = integer_at(progress, "epochs");
  return epochs > 0 ? format("{}/{}", integer_at(progress, "epoch"), epochs) : "-";
}

std::string jobs_table(const Json& answer, bool wide) {
  std::vector<std::string> header = {"ID", "NAME", "STATE", "EPOCH", "AGE"};
  if (wide) header.insert(header.end(), {"QUEUE", "KIND", "RESTARTS", "OUTPUT"});
  header.push_back("CAUSE");
  Table table(header);
  const std::int64_t now = SystemClock{}.now().wall;
  for (const Json& job : list_at(answer, "jobs")) {
    std::vector<std::string> row = {format("{}", integer_at(job, "id")), text_at(job, "name"),
                                    text_at(job, "state"), epoch_cell(object_at(job, "progress")),
                                    age_text(now - integer_at(job, "submitted_ms", now))};
    if (wide) {
      row.insert(row.end(), {text_at(job, "queue"), text_at(job, "kind"),
                             format("{}", integer_at(job, "restarts")), text_at(job, "output_dir")});
    }
    const std::string cause = text_at(job, "cause");
    row.push_back(cause.empty() ? text_at(job, "pending_reason") : cause);
    table.add(std::move(row));
  }
  return table.text();
}

}  // namespace

void add_jobs(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("jobs", "List jobs, newest first");
  auto options = std::make_shared<Options>();
  verb->add_flag("-a,--all", options->all, "Those that have ended too");
  verb->add_option("--queue", options->queue, "Only those of this queue");
  add_list_options(*verb, options->list);
  verb->callback([&context, options] {
    context.action = [&context, options] {
      Client::Query query;
      if (options->all) query["all"] = "1";
      if (!options->queue.empty()) query["queue"] = options->queue;
      return show_listing(context, "/jobs", query, options->list, jobs_table);
    };
  });
}

}  // namespace trainyard::cli
