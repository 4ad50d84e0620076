#include <algorithm>

#include "common/base/text.hpp"
#include "daemons/master/api.hpp"
#include "daemons/master/pace.hpp"

namespace trainyard::master {

namespace {

constexpr std::size_t rows_max = 100;

constexpr std::string_view head = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2"><title>Trainyard</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; --line: color-mix(in srgb, CanvasText 14%, Canvas);
  --soft: color-mix(in srgb, CanvasText 5%, Canvas); --quiet: color-mix(in srgb, CanvasText 62%, Canvas);
  --blue: light-dark(#1d5fa8, #7db4f0);
  --good: light-dark(#15703a, #6fd394); --bad: light-dark(#b3261e, #ff8a80); }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0 0 1rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid var(--line);
  padding-bottom: .3rem; }
.figures { display: flex; gap: .8rem; flex-wrap: wrap; }
.figures div { background: var(--soft); border-radius: .5rem; padding: .6rem 1rem; color: var(--quiet);
  flex: 1 1 8rem; }
.figures b { display: block; font-size: 1.6rem; line-height: 1.3; color: CanvasText; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; } .number { text-align: right; font-variant-numeric: tabular-nums; }
td.name, td.why { overflow-wrap: anywhere; }
td.why { color: var(--quiet); font-size: 13px; min-width: 10rem; }
a { color: var(--blue); } .state { font-weight: 600; white-space: nowrap; }
.SUCCEEDED, .READY { color: var(--good); } .RUNNING, .STARTING { color: var(--blue); }
.FAILED, .LOST, .UNREACHABLE { color: var(--bad); } .PENDING, .CANCELLED, .STOPPING { color: var(--quiet); }
progress { width: 8rem; accent-color: var(--blue); display: block; margin-top: .35rem; }
small { color: var(--quiet); white-space: nowrap; }
@media (max-width: 50rem) {
  body { margin-top: 1rem; } table, tbody, tr, td { display: block; } tr:first-child { display: none; }
  tr { background: var(--soft); border-radius: .5rem; padding: .5rem .8rem; margin-bottom: .8rem; }
  td, td.number { border: 0; padding: .1rem 0; display: flex; justify-content: space-between; gap: 1rem;
    text-align: right; }
  td::before { content: attr(data-label); color: var(--quiet); flex: none; } td:empty { display: none; }
}
</style></head><body><h1>Trainyard</h1>
)";

std::string metric(const Job& job, const char* key) {
  for (const auto* metrics : {&job.result, &job.progress.metrics}) {
    if (const auto it = metrics->find(key); it != metrics->end()) return format("{:.4g}", it->second);
  }
  if (job.history.empty()) return "";
  const auto& last = job.history.back().metrics;
  const auto it = last.find(key);
  return it == last.end() ? "" : format("{:.4g}", it->second);
}

std::string cell(const char* label, const std::string& content, const char* kind = "") {
  if (content.empty()) return format("<td class=\"{}\"></td>", kind);
  return format("<td class=\"{}\" data-label=\"{}\">{}</td>", kind, label, content);
}

std::string state_cell(const char* name) {
  return cell("State", format("<span class=\"state {0}\">{0}</span>", name));
}

/// The bar, from what is heard now or, of a job that ended before this master began, from its history.
std::string progress_of(const Job& job) {
  const bool done = job.state == JobState::succeeded;
  std::uint64_t epoch = job.progress.epoch;
  if (epoch == 0 && !job.history.empty()) epoch = job.history.back().epoch;
  const std::uint64_t epochs = std::max(job.progress.epochs, job.order.epochs);
  const bool by_step = job.progress.steps > 0;
  const std::uint64_t whole = std::max<std::uint64_t>(by_step ? job.progress.steps : epochs, 1);
  const std::uint64_t part = done ? whole : by_step ? job.progress.step : std::min(epoch, whole);
  const std::string of = epochs > 0 ? format(" of {}", epochs) : "";
  std::string pace;
  if (const auto known = job.state == JobState::running ? pace_of(job) : std::nullopt) {
    pace = format("<br><small title=\"{}\">bound by {}{}</small>", escape_html(known->text), known->bound_by,
                  known->straggler ? ", slowest: " + name(*known->straggler) : "");
  }
  return format("<span><progress max=\"{}\" value=\"{}\"></progress><small>epoch {}{}</small>{}</span>",
                whole, part, epoch, of, pace);
}

std::string job_row(JobId id, const Job& job) {
  const std::string& why = !job.cause.empty() ? job.cause : job.pending_reason;
  return "<tr>" + cell("Job", format("<a href=\"/api/v1/jobs/{0}\">{0}</a>", number(id))) +
         cell("Name", escape_html(job.order.name), "name") + state_cell(name(job.state)) +
         cell("Progress", progress_of(job)) + cell("Train loss", metric(job, "train/loss"), "number") +
         cell("Validation accuracy", metric(job, "validation/accuracy"), "number") +
         cell("Test accuracy", metric(job, "test/accuracy"), "number") +
         cell("Cause", escape_html(why), "why") + "</tr>\n";
}

std::string node_row(const NodeName& node_name, const Node& node, const protocol::ResourceSet& free) {
  const auto of = [](auto left, auto all) { return format("{} of {}", left, all); };
  const auto cpus = [](std::uint64_t millis) { return format("{:g}", static_cast<double>(millis) / 1000); };
  return "<tr>" + cell("Node", escape_html(node_name), "name") + state_cell(name(node.state)) +
         cell("CPUs free", of(cpus(free.cpu_millis), cpus(node.capacity.cpu_millis)), "number") +
         cell("Memory free", of(size_text(free.memory), size_text(node.capacity.memory)), "number") +
         cell("GPUs free", of(free.gpus, node.capacity.gpus), "number") + "</tr>\n";
}

std::string figures(const State& state) {
  std::size_t running = 0, waiting = 0, ready = 0;
  for (const auto& [id, job] : state.jobs) {
    if (job.state == JobState::pending) ++waiting;
    if (job.state != JobState::pending && !has_ended(job.state)) ++running;
  }
  for (const auto& [name, node] : state.nodes) ready += node.state == NodeState::ready ? 1 : 0;
  return format(
      "<div class=\"figures\"><div><b>{}</b>running</div><div><b>{}</b>waiting</div><div><b>{}</b>jobs</div>"
      "<div><b>{} of {}</b>nodes ready</div></div>\n",
      running, waiting, state.jobs.size(), ready, state.nodes.size());
}

}  // namespace

std::string page(const State& state) {
  std::string out(head);
  out += figures(state) + "<h2>Jobs</h2>\n";
  if (state.jobs.empty()) {
    out += "<p>None yet: <code>trainyard submit configs/jobs/flowers.yaml</code></p>\n";
  } else {
    out +=
        "<table><tr><th>Job</th><th>Name</th><th>State</th><th>Progress</th><th class=\"number\">Train "
        "loss</th>"
        "<th class=\"number\">Validation accuracy</th><th class=\"number\">Test "
        "accuracy</th><th>Cause</th></tr>\n";
    std::size_t rows = 0;
    for (auto it = state.jobs.rbegin(); it != state.jobs.rend() && rows < rows_max; ++it, ++rows) {
      out += job_row(it->first, it->second);
    }
    out += "</table>\n";
  }
  out +=
      "<h2>Nodes</h2>\n<table><tr><th>Node</th><th>State</th><th class=\"number\">CPUs free</th>"
      "<th class=\"number\">Memory free</th><th class=\"number\">GPUs free</th></tr>\n";
  for (const auto& [name, node] : state.nodes) out += node_row(name, node, free_on(state, name));
  return out + "</table>\n</body></html>\n";
}

}  // namespace trainyard::master
