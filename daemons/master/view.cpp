#include "daemons/master/view.hpp"

#include <algorithm>
#include <array>

#include "common/base/text.hpp"
#include "daemons/master/pace.hpp"

namespace trainyard::master {

namespace {

Json metrics_json(const std::map<std::string, double>& metrics) {
  Json out = Json::object();
  for (const auto& [key, value] : metrics) out[key] = value;
  return out;
}

Json progress_json(const Job& job) {
  Json out{{"phase", job.progress.phase},
           {"epoch", job.progress.epoch},
           {"epochs", std::max<std::uint64_t>(job.progress.epochs, job.order.epochs)},
           {"step", job.progress.step},
           {"steps", job.progress.steps}};
  std::map<std::string, double> metrics = job.progress.metrics;
  // A restarted master has heard nothing of a job that ended before.
  if (metrics.empty() && !job.history.empty()) {
    metrics = job.history.back().metrics;
    out["epoch"] = job.history.back().epoch;
    out["step"] = job.history.back().step;
  }
  std::erase_if(metrics, [](const auto& item) { return item.first.starts_with("pace/"); });  // see pace.hpp
  for (const auto& [key, value] : job.result) metrics.insert_or_assign(key, value);
  out["metrics"] = metrics_json(metrics);
  return out;
}

Json task_json(const TaskId& id, const Task& task) {
  const bool ended = has_ended(task.state);
  Json out{{"role", name(id.role)},  {"index", id.index}, {"state", name(task.state)},
           {"node", task.node},      {"pid", task.pid},   {"incarnation", number(task.incarnation)},
           {"address", task.address}};
  out["exit_code"] =
      ended && task.state != TaskState::lost && task.signal == 0 ? Json(task.exit_code) : Json();
  out["signal"] = ended && task.signal != 0 ? Json(task.signal) : Json();
  out["cause"] = task.cause;
  out["last_lines"] = task.last_lines;
  out["gpus"] = task.gpus;
  out["memory_peak"] = task.memory_peak;
  return out;
}

Json cluster_spec_json(const Job& job) {
  Json out = Json::object();
  for (const auto& [id, task] : job.tasks) out[name(id.role)].push_back(task.address);
  return out;
}

/// Who is missing while a gang gathers.
std::string waiting_for(const Job& job) {
  if (job.state != JobState::starting) return job.pending_reason;
  std::vector<std::string> missing;
  for (const auto& [id, task] : job.tasks) {
    if (task.state == TaskState::starting) missing.push_back(format("{} on {}", name(id), task.node));
  }
  return missing.empty() ? "" : "not registered yet: " + join(missing, ", ");
}

}  // namespace

Json job_view(JobId id, const Job& job, bool full) {
  Json out{{"id", number(id)},
           {"name", job.order.name},
           {"kind", job.order.kind},
           {"queue", job.order.queue},
           {"priority", job.order.priority},
           {"state", name(job.state)},
           {"cause", job.cause},
           {"submitted_ms", job.submitted},
           {"started_ms", job.started == 0 ? Json() : Json(job.started)},
           {"first_step_ms", job.first_step == 0 ? Json() : Json(job.first_step)},
           {"ended_ms", job.ended == 0 ? Json() : Json(job.ended)},
           {"incarnation", number(job.incarnation)},
           {"restarts", job.restarts},
           {"pending_reason", waiting_for(job)},
           {"output_dir", job.order.output_dir},
           {"skipped_records", job.skipped_count}};
  out["progress"] = progress_json(job);
  out["tasks"] = Json::array();
  for (const auto& [task_id, task] : job.tasks) out["tasks"].push_back(task_json(task_id, task));
  if (!full) return out;
  out["checkpoint"] = job.checkpoint
                          ? Json{{"step", job.checkpoint->step},
                                 {"epoch", job.checkpoint->epoch},
                                 {"directory", job.order.checkpoint_dir + "/" + job.checkpoint->directory}}
                          : Json();
  out["pace"] = job.state == JobState::running ? pace_json(job) : Json();
  out["events"] = Json::array();
  for (const JobEvent& event : job.events) {
    out["events"].push_back(
        Json{{"time_ms", event.at}, {"kind", event.kind}, {"text", event.text}, {"task", event.task}});
  }
  out["history"] = Json::array();
  for (const EpochRow& row : job.history) {
    out["history"].push_back(
        Json{{"epoch", row.epoch}, {"step", row.step}, {"metrics", metrics_json(row.metrics)}});
  }
  out["cluster_spec"] = cluster_spec_json(job);
  out["skipped"] = job.skipped;
  return out;
}

Json jobs_view(const State& state, bool all, const std::string& queue) {
  Json list = Json::array();
  for (auto it = state.jobs.rbegin(); it != state.jobs.rend(); ++it) {
    if (!all && has_ended(it->second.state)) continue;
    if (!queue.empty() && it->second.order.queue != queue) continue;
    list.push_back(job_view(it->first, it->second, false));
  }
  return Json{{"jobs", std::move(list)}};
}

Json node_view(const State& state, const NodeName& node_name, const Node& node) {
  const protocol::ResourceSet free = free_on(state, node_name);
  Json tasks = Json::array();
  for (const auto& [id, job] : state.jobs) {
    for (const auto& [task_id, task] : job.tasks) {
      if (task.node == node_name && !has_ended(task.state))
        tasks.push_back(format("{}/{}", number(id), name(task_id)));
    }
  }
  return Json{{"name", node_name},
              {"address", node.address},
              {"state", name(node.state)},
              {"cpus", static_cast<double>(node.capacity.cpu_millis) / 1000},
              {"memory", node.capacity.memory},
              {"gpus", node.capacity.gpus},
              {"cpus_free", static_cast<double>(free.cpu_millis) / 1000},
              {"memory_free", free.memory},
              {"gpus_free", free.gpus},
              {"gpu_models", node.gpu_models},
              {"labels", node.labels},
              {"tasks", std::move(tasks)},
              {"last_heard_ms", node.last_heard_wall}};
}

Json nodes_view(const State& state) {
  Json list = Json::array();
  for (const auto& [name, node] : state.nodes) list.push_back(node_view(state, name, node));
  return Json{{"nodes", std::move(list)}};
}

std::string metrics_view(const State& state) {
  std::array<std::size_t, 7> jobs{}, tasks{};
  std::array<std::size_t, 3> nodes{};
  for (const auto& [id, job] : state.jobs) {
    ++jobs[static_cast<std::size_t>(job.state)];
    for (const auto& [task_id, task] : job.tasks) {
      if (!has_ended(job.state)) ++tasks[static_cast<std::size_t>(task.state)];
    }
  }
  for (const auto& [name, node] : state.nodes) ++nodes[static_cast<std::size_t>(node.state)];
  std::string out =
      "# HELP trainyard_jobs Jobs that the master remembers, by state.\n# TYPE trainyard_jobs gauge\n";
  const auto line = [&](const char* metric, const char* value, std::size_t count) {
    out += format("{}{{state=\"{}\"}} {}\n", metric, value, count);
  };
  for (std::size_t i = 0; i < jobs.size(); ++i)
    line("trainyard_jobs", name(static_cast<JobState>(i)), jobs[i]);
  out +=
      "# HELP trainyard_tasks Tasks of jobs that have not ended, by state.\n# TYPE trainyard_tasks gauge\n";
  for (std::size_t i = 0; i < tasks.size(); ++i)
    line("trainyard_tasks", name(static_cast<TaskState>(i)), tasks[i]);
  out += "# HELP trainyard_nodes Nodes, by state.\n# TYPE trainyard_nodes gauge\n";
  for (std::size_t i = 0; i < nodes.size(); ++i)
    line("trainyard_nodes", name(static_cast<NodeState>(i)), nodes[i]);
  return out + pace_metrics(state);
}

}  // namespace trainyard::master
