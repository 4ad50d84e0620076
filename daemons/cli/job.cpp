#include <CLI/CLI.hpp>
#include <memory>

#include "common/base/text.hpp"
#include "daemons/cli/context.hpp"
#include "daemons/cli/follow.hpp"
#include "daemons/cli/listing.hpp"
#include "daemons/cli/terminal.hpp"

namespace trainyard::cli {

namespace {

constexpr std::size_t rows_max = 12;  // of events and of epochs, unless -o wide asks for all

struct Options {
  ListOptions list;
  std::string id;
};

std::string ending_of(const Json& task) {
  if (const auto signal = integer_at(task, "signal"); signal > 0) return format("signal {}", signal);
  if (task.contains("exit_code") && task["exit_code"].is_number_integer()) {
    return format("exit {}", integer_at(task, "exit_code"));
  }
  return "-";
}

std::string tasks_table(const Json& job, bool wide) {
  std::vector<std::string> header = {"TASK", "STATE", "NODE", "PID", "INCARNATION", "ENDED"};
  if (wide) header.insert(header.end(), {"ADDRESS", "GPUS"});
  header.push_back("CAUSE");
  Table table(header);
  for (const Json& task : list_at(job, "tasks")) {
    const auto pid = integer_at(task, "pid");
    std::vector<std::string> row = {format("{}-{}", text_at(task, "role"), integer_at(task, "index")),
                                    text_at(task, "state"),
                                    text_at(task, "node", "-"),
                                    pid > 0 ? format("{}", pid) : "-",
                                    format("{}", integer_at(task, "incarnation")),
                                    ending_of(task)};
    if (wide) {
      std::vector<std::string> gpus;
      for (const Json& gpu : list_at(task, "gpus")) gpus.push_back(to_text(gpu));
      row.insert(row.end(), {text_at(task, "address", "-"), gpus.empty() ? "-" : join(gpus, ",")});
    }
    row.push_back(text_at(task, "cause"));
    table.add(std::move(row));
  }
  return table.text();
}

std::string job_text(const Json& job, bool wide) {
  std::string out = summary_text(job);
  const Json& progress = object_at(job, "progress");
  if (const std::string reason = text_at(job, "pending_reason"); !reason.empty())
    out += "waiting: " + reason + "\n";
  if (integer_at(progress, "steps") > 0) {
    out += format("progress: {}/{} steps, {}", integer_at(progress, "step"), integer_at(progress, "steps"),
                  epoch_text(progress, integer_at(progress, "epochs")));
    out += "\n";
  }
  if (const std::string pace = text_at(object_at(job, "pace"), "text"); !pace.empty())
    out += "pace:   " + pace + "\n";
  out += "\n" + tasks_table(job, wide);

  const Json& events = list_at(job, "events");
  const std::size_t shown = wide ? events.size() : std::min(events.size(), rows_max);
  if (shown > 0) out += "\nevents:\n";
  for (std::size_t i = events.size() - shown; i < events.size(); ++i) {
    out += format("  {}  {}\n", wall_text(integer_at(events[i], "time_ms")), text_at(events[i], "text"));
  }
  const Json& history = list_at(job, "history");
  const std::size_t rows = wide ? history.size() : std::min(history.size(), rows_max);
  if (rows > 0)
    out += rows < history.size() ? format("\nhistory, the last {} of {} epochs:\n", rows, history.size())
                                 : "\nhistory:\n";
  for (std::size_t i = history.size() - rows; i < history.size(); ++i)
    out += "  " + epoch_text(history[i], integer_at(progress, "epochs")) + "\n";
  return out;
}

}  // namespace

void add_job(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("job", "Everything about one job: tasks, where they run, events, metrics");
  auto options = std::make_shared<Options>();
  verb->add_option("ID", options->id, "The job")->required();
  add_list_options(*verb, options->list);
  verb->callback([&context, options] {
    context.action = [&context, options] {
      const auto id = parse_job_id(options->id);
      if (!id) return fail(id.error());
      return show_listing(context, format("/jobs/{}", *id), {}, options->list, job_text);
    };
  });
}

}  // namespace trainyard::cli
