#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "common/base/text.hpp"
#include "daemons/cli/client.hpp"
#include "daemons/cli/context.hpp"
#include "daemons/cli/follow.hpp"
#include "daemons/cli/table.hpp"
#include "daemons/cli/terminal.hpp"

namespace trainyard::cli {

namespace {

constexpr Duration poll_every = 500ms;
constexpr Duration away_max = 60s;  // of a master that is followed

struct Options {
  std::string id, task;
  bool follow = false;
  std::optional<std::uint64_t> tail;
};

/// One stream of one task, read from where the last look ended.
struct TaskStream {
  std::string task, stream;
  std::int64_t incarnation = 0;
  std::int64_t offset = 0;
  std::string partial;  // a line without its end yet
  bool started = false;
};

/// Prints whole lines, prefixed when there are several tasks.
void print_lines(TaskStream& stream, const std::string& text, const std::string& prefix, bool flush_partial) {
  std::string all = stream.partial + text;
  const std::size_t end = all.rfind('\n');
  stream.partial = end == std::string::npos ? all : all.substr(end + 1);
  all.resize(end == std::string::npos ? 0 : end + 1);
  if (flush_partial && !stream.partial.empty()) {
    all += stream.partial + "\n";
    stream.partial.clear();
  }
  std::string out;
  for (std::size_t at = 0; at < all.size();) {
    const std::size_t next = all.find('\n', at) + 1;
    out += prefix + all.substr(at, next - at);
    at = next;
  }
  if (!out.empty()) put(out);
}

/// Reads until there is no more for now. A task that was never placed has no logs yet, which is no error
/// here.
Status drain(const Client& client, std::int64_t id, TaskStream& stream, const Options& options, bool last,
             const std::string& prefix) {
  constexpr int answers_max = 4096;  // bounds one look at a task that writes faster than it can be read
  for (int i = 0; i < answers_max; ++i) {
    Client::Query query = {{"task", stream.task}, {"stream", stream.stream}};
    if (!stream.started && options.tail) {
      query["tail"] = format("{}", std::max<std::uint64_t>(*options.tail, 1));
    } else {
      query["offset"] = format("{}", stream.offset);
    }
    const auto answer = client.get(format("/jobs/{}/logs", id), query);
    if (!answer && answer.error().code == Errc::not_found) return {};
    if (!answer) return answer.error();
    const std::string text = text_at(*answer, "text");
    stream.offset = integer_at(*answer, "offset") + static_cast<std::int64_t>(text.size());
    const bool first = !std::exchange(stream.started, true);
    const bool only_from_here = first && options.tail == 0u;
    if (!only_from_here) print_lines(stream, text, prefix, last && flag_at(*answer, "end"));
    // The last lines are those of one moment: what a task writes meanwhile is only for who follows it.
    const bool whole = first && options.tail && !options.follow;
    if (whole || text.empty() || flag_at(*answer, "end")) return {};
  }
  return {};
}

/// Takes in tasks that are new, and begins again where a task was started again: that is a log of its own.
void update(std::vector<TaskStream>& streams, const Json& job, const std::string& only) {
  for (const Json& task : list_at(job, "tasks")) {
    const std::string name = format("{}-{}", text_at(task, "role"), integer_at(task, "index"));
    if (!only.empty() && only != name) continue;
    const std::int64_t incarnation = integer_at(task, "incarnation");
    for (const char* stream : {"stdout", "stderr"}) {
      auto known = std::find_if(streams.begin(), streams.end(), [&](const TaskStream& one) {
        return one.task == name && one.stream == stream;
      });
      if (known == streams.end()) {
        streams.push_back({.task = name, .stream = stream, .incarnation = incarnation, .partial = ""});
      } else if (known->incarnation != incarnation) {
        known->incarnation = incarnation;
        known->offset = 0;
        known->partial.clear();
      }
    }
  }
}

Status drain_all(const Client& client, std::int64_t id, std::vector<TaskStream>& streams,
                 const Options& options, bool last) {
  const bool several = streams.size() > 2;
  for (TaskStream& stream : streams) {
    const auto drained = drain(client, id, stream, options, last, several ? stream.task + " | " : "");
    if (!drained) return drained;
  }
  return {};
}

/// Until the job ends. A master or an executor that is away for a while is waited for.
int follow(const Client& client, std::int64_t id, Json job, std::vector<TaskStream>& streams,
           const Options& options) {
  Duration away{};
  while (true) {
    update(streams, job, options.task);
    const bool last = has_ended(job);
    Status looked = drain_all(client, id, streams, options, last);
    if ((looked && last) || !has_reader()) return exit_ok;
    pause_for(poll_every);
    if (was_interrupted()) return exit_interrupted;
    auto fresh = client.get(format("/jobs/{}", id));
    if (fresh) {
      job = std::move(*fresh);
    } else {
      looked = fresh.error();
    }
    away = looked ? Duration::zero() : away + poll_every;
    if (!looked && (looked.error().code != Errc::unavailable || away > away_max)) return fail(looked.error());
  }
}

int logs(const Options& options, const Context& context) {
  const auto id = parse_job_id(options.id);
  if (!id) return fail(id.error());
  const auto client = connect(context);
  if (!client) return fail(client.error());
  auto job = client->get(format("/jobs/{}", *id));
  if (!job) return fail(job.error());
  std::vector<TaskStream> streams;
  update(streams, *job, options.task);
  const bool to_come = options.follow && list_at(*job, "tasks").empty() && !has_ended(*job);
  if (streams.empty() && !options.task.empty() && !to_come) {
    return fail({Errc::not_found,
                 format("job {} has no task '{}'; 'trainyard job {}' lists them", *id, options.task, *id)});
  }
  if (options.follow) {
    catch_interrupts();
    return follow(*client, *id, std::move(*job), streams, options);
  }
  const auto drained = drain_all(*client, *id, streams, options, true);
  return drained ? exit_ok : fail(drained.error());
}

}  // namespace

void add_logs(CLI::App& app, Context& context) {
  auto* verb = app.add_subcommand("logs", "What the tasks of a job wrote to stdout and stderr");
  auto options = std::make_shared<Options>();
  verb->add_option("ID", options->id, "The job")->required();
  verb->add_option("TASK", options->task, "Only this task, for example trainer-0");
  verb->add_flag("-f,--follow", options->follow, "Go on until the job ends");
  verb->add_option("--tail", options->tail, "Only so many last lines of each stream");
  verb->callback(
      [&context, options] { context.action = [&context, options] { return logs(*options, context); }; });
}

}  // namespace trainyard::cli
