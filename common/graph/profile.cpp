#include "common/graph/profile.hpp"

#include <algorithm>
#include <map>

#include "common/base/json.hpp"
#include "common/base/text.hpp"
#include "common/ops/work.hpp"

namespace trainyard::graph {
namespace {

Time now() { return std::chrono::steady_clock::now(); }

double microseconds(Duration duration) { return seconds(duration) * 1e6; }

/// "relu" of an elementwise function, "depthwise" of a convolution in groups, else the kind.
std::string operator_name(const Program::Step& step) {
  const std::string kind = ops::name_of(step.kind);
  if (step.kind == Kind::unary) return ops::name_of(step.attributes.function);
  if (step.kind == Kind::unary_grad) return std::string(ops::name_of(step.attributes.function)) + "_grad";
  if (step.kind == Kind::binary) return ops::name_of(step.attributes.arithmetic);
  // What convolutions of single channels cost has nothing to do with what others do.
  constexpr std::string_view convolution = "conv2d";
  if (step.attributes.groups > 1 && kind.starts_with(convolution))
    return "depthwise" + kind.substr(convolution.size());
  return kind;
}

struct Row {
  std::string name, place;
  std::uint64_t calls = 0;
  double seconds = 0, flops = 0, bytes = 0;
};

}  // namespace

Profiler::Profiler(const Program& program, std::span<const Origin> origins)
    : program_(program), origins_(origins), totals_(program.steps().size()) {
  events_.reserve(std::min(events_max, 64 * totals_.size()));
}

void Profiler::begins(std::size_t) { began_ = now(); }

void Profiler::ended(std::size_t index) {
  const Duration took = now() - began_;
  ++totals_[index].calls;
  totals_[index].time += took;
  if (events_.size() < events_max) events_.push_back({static_cast<std::uint32_t>(index), began_, took});
}

void Profiler::span(std::string name, Time from, Time to) {
  if (spans_.size() < events_max) spans_.push_back({std::move(name), from, to - from});
}

std::string Profiler::place_of(std::size_t index) const {
  const std::uint32_t origin = program_.steps()[index].origin;
  return origin < origins_.size() ? origins_[origin].name : "";
}

std::string Profiler::table(std::size_t rows) const {
  const std::uint64_t count = runs();
  if (count == 0) return "no step was seen\n";
  std::map<std::string, Row> by_name;
  std::vector<Row> places;
  Row all;
  for (std::size_t i = 0; i < totals_.size(); ++i) {
    const Program::Step& step = program_.steps()[i];
    const auto calls = static_cast<double>(totals_[i].calls);
    Row row{operator_name(step), place_of(i), totals_[i].calls, seconds(totals_[i].time), 0, 0};
    row.flops = calls * ops::work_of(step.kind, step.attributes, step.inputs, step.outputs).flops();
    row.bytes = calls * static_cast<double>(
                            ops::bytes_moved(step.kind, step.inputs, step.input_bytes, step.output_bytes));
    for (Row* sum : {&by_name[row.name], &all}) {
      sum->name = row.name;
      sum->calls += row.calls;
      sum->seconds += row.seconds;
      sum->flops += row.flops;
      sum->bytes += row.bytes;
    }
    places.push_back(std::move(row));
  }
  const auto slower = [](const Row& a, const Row& b) { return a.seconds > b.seconds; };
  const auto line = [&](const Row& row) {
    const double time = std::max(row.seconds, 1e-12);
    return format("{:<24} {:>6} {:>9.3f} {:>6.1f} % {:>9.1f} {:>7.1f}  {}\n", row.name, row.calls / count,
                  row.seconds * 1e3 / static_cast<double>(count),
                  100 * row.seconds / std::max(all.seconds, 1e-12), row.flops / time / 1e9,
                  row.bytes / time / 1e9, row.place);
  };
  std::vector<Row> kinds;
  for (auto& [name, row] : by_name) kinds.push_back(row);
  std::sort(kinds.begin(), kinds.end(), slower);
  std::stable_sort(places.begin(), places.end(), slower);
  all.name = "all operators";
  all.place.clear();
  std::string out = format("{} steps of batch {}\n{:<24} {:>6} {:>9} {:>8} {:>9} {:>7}\n", count,
                           program_.batch(), "operator", "calls", "ms", "share", "GFLOP/s", "GB/s");
  for (const Row& row : kinds) out += line(row);
  out += line(all) + format("\nslowest places\n");
  for (std::size_t i = 0; i < std::min(rows, places.size()); ++i) out += line(places[i]);
  return out;
}

std::string Profiler::trace(int process) const {
  Time first = Time::max();
  for (const Event& event : events_) first = std::min(first, event.from);
  for (const Span& span : spans_) first = std::min(first, span.from);
  Json events = Json::array();
  const auto add = [&](const std::string& name, const std::string& category, int thread, Time from,
                       Duration took, Json arguments) {
    events.push_back(Json{{"name", name},
                          {"cat", category},
                          {"ph", "X"},
                          {"pid", process},
                          {"tid", thread},
                          {"ts", microseconds(from - first)},
                          {"dur", microseconds(took)},
                          {"args", std::move(arguments)}});
  };
  for (const auto& [thread, name] : {std::pair{0, "steps"}, {1, "operators"}})
    events.push_back(Json{
        {"name", "thread_name"}, {"ph", "M"}, {"pid", process}, {"tid", thread}, {"args", {{"name", name}}}});
  for (const Span& span : spans_) add(span.name, "step", 0, span.from, span.took, Json::object());
  for (const Event& event : events_) {
    const Program::Step& step = program_.steps()[event.index];
    const std::string name = operator_name(step), place = place_of(event.index);
    Json arguments{{"layer", place}, {"kind", ops::name_of(step.kind)}};
    if (!step.outputs.empty() && !step.outputs[0].opaque) arguments["output"] = step.outputs[0].shape.text();
    add(place.empty() ? name : name + " " + place, name, 1, event.from, event.took, std::move(arguments));
  }
  return trainyard::to_text(Json{{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}}) + "\n";
}

}  // namespace trainyard::graph
