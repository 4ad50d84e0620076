#include "daemons/master/pace.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "common/base/text.hpp"

namespace trainyard::master {

namespace {

constexpr double straggler_factor = 1.25;
constexpr std::array parts{"input", "compute", "exchange"};
using Seconds = std::array<double, parts.size()>;  // a step, by part

struct StepTimes {
  TaskId task;
  Seconds seconds{};
  double own() const { return seconds[0] + seconds[1]; }
  double whole() const { return own() + seconds[2]; }
};

std::vector<StepTimes> step_times(const Job& job) {
  std::vector<StepTimes> out;
  for (const auto& [task, told] : job.told) {
    if (task.role != Role::trainer) continue;
    StepTimes times{task, {}};
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const auto it = told.metrics.find(format("pace/{}", parts[i]));
      if (it != told.metrics.end()) times.seconds[i] = it->second;
    }
    if (times.whole() > 0) out.push_back(times);
  }
  return out;
}

std::string time_text(double seconds) {
  return seconds < 1 ? format("{:.3g} ms", seconds * 1e3) : format("{:.3g} s", seconds);
}

/// "compute 81 %, input 3 %, exchange 16 %", the largest first.
std::string shares_text(const Seconds& seconds) {
  double whole = 0;
  for (const double each : seconds) whole += each;
  std::array<std::size_t, parts.size()> order{0, 1, 2};
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return seconds[a] > seconds[b]; });
  std::vector<std::string> texts;
  for (const std::size_t i : order)
    texts.push_back(format("{} {:.0f} %", parts[i], 100 * seconds[i] / whole));
  return join(texts, ", ");
}

}  // namespace

std::optional<Pace> pace_of(const Job& job) {
  const std::vector<StepTimes> all = step_times(job);
  if (all.empty()) return std::nullopt;
  const auto slowest = std::max_element(
      all.begin(), all.end(), [](const StepTimes& a, const StepTimes& b) { return a.own() < b.own(); });
  std::vector<double> others;
  Seconds seconds{};
  for (auto it = all.begin(); it != all.end(); ++it) {
    if (it != slowest) others.push_back(it->own());
    for (std::size_t i = 0; i < parts.size(); ++i)
      seconds[i] += it->seconds[i] / static_cast<double>(all.size());
  }
  std::sort(others.begin(), others.end());
  const double usual = others.empty() ? 0 : others[others.size() / 2];
  Pace pace;
  if (!others.empty() && slowest->own() > straggler_factor * usual) {
    pace.straggler = slowest->task;
    seconds = slowest->seconds;
  }
  for (const double each : seconds) pace.step_seconds += each;
  pace.bound_by =
      parts[static_cast<std::size_t>(std::max_element(seconds.begin(), seconds.end()) - seconds.begin())];
  pace.text = format("{} a step, bound by {} ({})", time_text(pace.step_seconds), pace.bound_by,
                     shares_text(seconds));
  if (pace.straggler) {
    pace.text += format("; {} is the straggler: {} of its own, the others {}", name(*pace.straggler),
                        time_text(slowest->own()), time_text(usual));
  }
  double mean = 0, most = 0;
  for (const auto& [task, told] : job.told) {
    const auto at = [&](const char* key) {
      const auto it = told.metrics.find(key);
      return task.role == Role::ps && it != told.metrics.end() ? it->second : 0.0;
    };
    mean = std::max(mean, at("staleness/mean"));
    most = std::max(most, at("staleness/max"));
  }
  if (most > 0) pace.text += format("; staleness {:.1f} steps on average, {:.0f} at most", mean, most);
  return pace;
}

namespace {

struct Family {
  const char* key;  // as tasks tell it
  const char* name;
  const char* help;
};
constexpr std::array families{
    Family{"pace/input", "trainyard_trainer_step_input_seconds", "Of a step: waiting for records."},
    Family{"pace/compute", "trainyard_trainer_step_compute_seconds", "Of a step: computing."},
    Family{"pace/exchange", "trainyard_trainer_step_exchange_seconds", "Of a step: exchanging, with waits."},
    Family{"pushes", "trainyard_shard_pushes", "Pushes that were applied."},
    Family{"pushes_per_second", "trainyard_shard_pushes_per_second", "Pushes that were applied lately."},
    Family{"received_bytes_per_second", "trainyard_shard_received_bytes_per_second", "Tensors in."},
    Family{"sent_bytes_per_second", "trainyard_shard_sent_bytes_per_second", "Tensors out."},
    Family{"busy", "trainyard_shard_busy", "Share of time that the shard works."},
    Family{"dropped", "trainyard_shard_dropped_pushes", "Pushes of backup trainers that came too late."},
    Family{"repeated", "trainyard_shard_repeated_pushes", "Pushes that came again."},
    Family{"spread/max", "trainyard_shard_spread_steps", "Largest lead of a trainer over another."}};
constexpr std::string_view histogram = "staleness/";

}  // namespace

std::string pace_metrics(const State& state) {
  std::map<std::string, std::string> lines;  // by family
  std::string staleness;
  for (const auto& [id, job] : state.jobs) {
    if (job.state != JobState::running) continue;
    for (const auto& [task, told] : job.told) {
      const std::string who = format("job=\"{}\",task=\"{}\"", number(id), name(task));
      for (const Family& family : families) {
        const auto it = told.metrics.find(family.key);
        if (it != told.metrics.end())
          lines[family.name] += format("{}{{{}}} {}\n", family.name, who, it->second);
      }
      for (const auto& [key, value] : told.metrics) {
        const std::string_view steps = std::string_view(key).substr(std::min(key.size(), histogram.size()));
        if (task.role != Role::ps || !key.starts_with(histogram) || !parse_int(std::string(steps))) continue;
        staleness += format("trainyard_shard_staleness_pushes{{{},steps=\"{}\"}} {}\n", who,
                            *parse_int(std::string(steps)), value);
      }
    }
  }
  std::string out;
  for (const Family& family : families) {
    const auto it = lines.find(family.name);
    if (it != lines.end())
      out += format("# HELP {0} {1}\n# TYPE {0} gauge\n{2}", family.name, family.help, it->second);
  }
  if (!staleness.empty())
    out +=
        "# HELP trainyard_shard_staleness_pushes Pushes by how many updates they were behind.\n"
        "# TYPE trainyard_shard_staleness_pushes gauge\n" +
        staleness;
  return out;
}

Json pace_json(const Job& job) {
  const auto pace = pace_of(job);
  if (!pace) return Json();
  Json tasks = Json::object();
  for (const auto& [task, told] : job.told) {
    Json& each = tasks[name(task)] = Json{{"step", told.step}};
    for (const auto& [key, value] : told.metrics) {
      if (task.role == Role::ps || key.starts_with("pace/") || key.starts_with("staleness/"))
        each[key] = value;
    }
  }
  return Json{{"bound_by", pace->bound_by},
              {"straggler", pace->straggler ? Json(name(*pace->straggler)) : Json()},
              {"step_seconds", pace->step_seconds},
              {"text", pace->text},
              {"tasks", std::move(tasks)}};
}

}  // namespace trainyard::master
