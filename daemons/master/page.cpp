#include "common/base/text.hpp"
#include "daemons/master/api.hpp"

namespace trainyard::master {

namespace {

constexpr std::string_view head = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2"><title>Trainyard</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; --line: color-mix(in srgb, CanvasText 15%, Canvas); }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
.SUCCEEDED, .READY, .RUNNING { color: light-dark(#15703a, #6fd394); }
.FAILED, .LOST { color: light-dark(#b3261e, #ff8a80); }
progress { width: 8rem; }
</style></head><body><h1>Trainyard</h1>
)";

std::string metric(const Job& job, const char* key) {
  for (const auto* metrics : {&job.result, &job.progress.metrics}) {
    if (const auto it = metrics->find(key); it != metrics->end()) return format("{:.4g}", it->second);
  }
  return "";
}

std::string job_row(JobId id, const Job& job) {
  const auto& progress = job.progress;
  const std::uint64_t steps = std::max<std::uint64_t>(progress.steps, 1);
  const std::string why = !job.cause.empty() ? job.cause : job.pending_reason;
  return format(
      "<tr><td><a href=\"/api/v1/jobs/{0}\">{0}</a></td><td>{1}</td><td class=\"{2}\">{2}</td>"
      "<td><progress max=\"{3}\" value=\"{4}\"></progress> epoch {5}/{6}</td><td class=\"number\">{7}</td>"
      "<td class=\"number\">{8}</td><td class=\"number\">{9}</td><td>{10}</td></tr>\n",
      number(id), escape_html(job.order.name), name(job.state), steps,
      job.state == JobState::succeeded ? steps : progress.step, progress.epoch, progress.epochs,
      metric(job, "train/loss"), metric(job, "validation/accuracy"), metric(job, "test/accuracy"),
      escape_html(why));
}

}  // namespace

std::string page(const State& state) {
  std::string out(head);
  out += "<h2>Jobs</h2>\n";
  if (state.jobs.empty()) {
    out += "<p>None yet: <code>trainyard submit configs/jobs/flowers.yaml</code></p>\n";
  } else {
    out +=
        "<table><tr><th>Id</th><th>Name</th><th>State</th><th>Progress</th><th>Train loss</th>"
        "<th>Validation accuracy</th><th>Test accuracy</th><th></th></tr>\n";
    constexpr std::size_t rows_max = 100;
    std::size_t rows = 0;
    for (auto it = state.jobs.rbegin(); it != state.jobs.rend() && rows < rows_max; ++it, ++rows) {
      out += job_row(it->first, it->second);
    }
    out += "</table>\n";
  }
  out +=
      "<h2>Nodes</h2>\n<table><tr><th>Name</th><th>State</th><th>CPUs free</th><th>Memory free</th><th>GPUs "
      "free</th></tr>\n";
  for (const auto& [name, node] : state.nodes) {
    const protocol::ResourceSet free = free_on(state, name);
    out += format(
        "<tr><td>{0}</td><td class=\"{1}\">{1}</td><td class=\"number\">{2:g} of {3:g}</td>"
        "<td class=\"number\">{4} of {5}</td><td class=\"number\">{6} of {7}</td></tr>\n",
        escape_html(name), master::name(node.state), static_cast<double>(free.cpu_millis) / 1000,
        static_cast<double>(node.capacity.cpu_millis) / 1000, size_text(free.memory),
        size_text(node.capacity.memory), free.gpus, node.capacity.gpus);
  }
  return out + "</table>\n</body></html>\n";
}

}  // namespace trainyard::master
