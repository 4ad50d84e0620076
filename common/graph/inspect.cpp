#include "common/graph/inspect.hpp"

#include <algorithm>

#include "common/base/text.hpp"
#include "common/graph/prepare.hpp"
#include "common/graph/program.hpp"

namespace trainyard::graph {
namespace {

std::string grouped(std::uint64_t value) {
  std::string digits = std::to_string(value), out;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

/// "1.81 G"
std::string with_prefix(double value) {
  constexpr std::pair<double, const char*> prefixes[] = {{1e12, " T"}, {1e9, " G"}, {1e6, " M"}, {1e3, " k"}};
  for (const auto& [scale, prefix] : prefixes)
    if (value >= scale) return format("{:.2f}{}", value / scale, prefix);
  return format("{:.0f}", value);
}

std::string mebibytes(std::uint64_t bytes) {
  if (bytes >= 10u << 20) return format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
  return format("{:.1f} KiB", static_cast<double>(bytes) / 1024);
}

ops::Work work_of(const Graph& graph, const Node& node) {
  std::vector<Signature> inputs, outputs;
  for (const ValueId id : node.inputs)
    inputs.push_back(id == kAbsent ? Signature::opaque_bytes() : graph.signature(id).with_batch(1));
  for (const ValueId id : node.outputs) outputs.push_back(graph.signature(id).with_batch(1));
  return ops::work_of(node.kind, node.attributes, inputs, outputs);
}

class Rows {
 public:
  explicit Rows(const Model& model) : graph_(model.graph), counted_(graph_.values.size(), false) {}

  Inspection run() {
    Inspection out;
    for (const External& external : graph_.externals)
      out.inputs.emplace_back(
          external.name,
          external.of.shape.text() + (tensor::is_real(external.of.type)
                                          ? ""
                                          : std::string(" ") + tensor::name_of(external.of.type)));
    std::uint32_t last = 0;
    for (const Node& node : graph_.nodes) {
      if (out.layers.empty() || node.origin != last || node.origin == 0) {
        const Origin& origin = graph_.origins[node.origin];
        const std::string kind = origin.kind.empty() ? ops::name_of(node.kind) : origin.kind;
        out.layers.push_back({origin.name, kind, "", 0, 0, {}, 0});
        last = node.origin;
      }
      add(node, out.layers.back());
    }
    // A parameter that is a result itself (the transitions of a random field) belongs to no operation.
    if (!out.layers.empty())
      for (const ValueId id : graph_.results) count(id, out.layers.back());
    for (const LayerRow& row : out.layers) {
      out.all.parameters += row.parameters;
      out.all.buffers += row.buffers;
      out.all.work += row.work;
      out.all.activations += row.activations;
    }
    if (!graph_.results.empty()) out.all.result = graph_.shape(graph_.results[0]).text();
    return out;
  }

 private:
  void add(const Node& node, LayerRow& row) {
    const Signature& result = graph_.signature(node.outputs[0]);
    row.result = result.shape.text();
    row.work += work_of(graph_, node);
    for (const ValueId id : node.inputs) count(id, row);
    if (node.kind == Kind::reshape) return;  // the same bytes again
    for (const ValueId id : node.outputs) {
      const Signature& of = graph_.signature(id);
      if (of.opaque) continue;
      row.activations +=
          static_cast<std::uint64_t>(of.shape.with_batch(1).elements()) * tensor::size_of(of.type);
    }
  }

  void count(ValueId id, LayerRow& row) {
    if (id == kAbsent || graph_.values[id].place != Place::parameter || counted_[id]) return;
    counted_[id] = true;
    const auto values = static_cast<std::uint64_t>(graph_.shape(id).elements());
    (graph_.values[id].trainable ? row.parameters : row.buffers) += values;
  }

  const Graph& graph_;
  std::vector<bool> counted_;
};

Result<MemoryPlan> plan_of(const Result<Graph>& graph, std::uint32_t batch, const ops::Backend& backend) {
  if (!graph) return graph.error();
  const auto program = Program::bind(*graph, batch, backend);
  if (!program) return program.error();
  return MemoryPlan{(*program)->arena_bytes(), (*program)->live_bytes()};
}

Json plan_json(const MemoryPlan& plan) {
  return {{"arena_bytes", plan.arena}, {"lower_bound_bytes", plan.bound}};
}

std::string plan_text(const char* what, const MemoryPlan& plan) {
  return format("{:<12} {:>12}, lower bound {} ({:.3f})\n", what, mebibytes(plan.arena),
                mebibytes(plan.bound),
                plan.bound == 0 ? 1.0 : static_cast<double>(plan.arena) / static_cast<double>(plan.bound));
}

Json row_json(const LayerRow& row) {
  return {{"name", row.name},          {"kind", row.kind},
          {"output", row.result},      {"parameters", row.parameters},
          {"buffers", row.buffers},    {"multiply_adds", row.work.multiply_adds},
          {"flops", row.work.flops()}, {"activation_bytes", row.activations}};
}

}  // namespace

Inspection inspect(const Model& model) { return Rows(model).run(); }

Inspection inspect(const Model& model, const LossSpec& loss, std::uint32_t batch,
                   const TrainingPasses& passes) {
  Inspection out = inspect(model);
  out.batch = batch;
  const auto backend = ops::cpu_backend();
  const auto keep = [&](std::optional<MemoryPlan>& plan, const Result<MemoryPlan>& made) {
    if (made)
      plan = *made;
    else
      out.no_plan = made.error().message;
  };
  keep(out.training, plan_of(graph_to_train(model, loss, 0, passes), batch, *backend));
  keep(out.prediction, plan_of(graph_to_predict(model, loss), batch, *backend));
  return out;
}

std::string inspection_text(const Inspection& in) {
  std::size_t name = 5, kind = 5, result = 6;
  for (const auto& [input, shape] : in.inputs) {
    name = std::max(name, input.size());
    result = std::max(result, shape.size());
  }
  for (const LayerRow& row : in.layers) {
    name = std::max(name, row.name.size());
    kind = std::max(kind, row.kind.size());
    result = std::max(result, row.result.size());
  }
  const auto line = [&](const std::string& a, const std::string& b, const std::string& c,
                        const std::string& d, const std::string& e, const std::string& f) {
    std::string text =
        format("{:<{}}  {:<{}}  {:<{}}  {:>12}  {:>13}  {:>11}", a, name, b, kind, c, result, d, e, f);
    text.erase(text.find_last_not_of(' ') + 1);
    return text + "\n";
  };
  std::string out = line("layer", "kind", "output", "parameters", "multiply-adds", "activations");
  for (const auto& [input, shape] : in.inputs) out += line(input, "input", shape, "", "", "");
  for (const LayerRow& row : in.layers)
    out += line(row.name, row.kind, row.result, row.parameters == 0 ? "" : grouped(row.parameters),
                row.work.multiply_adds == 0 ? "" : with_prefix(row.work.multiply_adds),
                mebibytes(row.activations));
  out += line("all", "", in.all.result, grouped(in.all.parameters), with_prefix(in.all.work.multiply_adds),
              mebibytes(in.all.activations));
  out += format(
      "\n{} parameters ({}) and {} kept statistics. A sample forward: {} multiply-adds, {}FLOP with "
      "all else.\n",
      grouped(in.all.parameters), mebibytes(4 * in.all.parameters), grouped(in.all.buffers),
      with_prefix(in.all.work.multiply_adds),
      with_prefix(in.all.work.flops()) + (in.all.work.flops() < 1e3 ? " " : ""));
  if (in.training || in.prediction) {
    out += format("\narena, a batch of {}\n", in.batch);
    if (in.training) out += plan_text("training", *in.training);
    if (in.prediction) out += plan_text("prediction", *in.prediction);
  }
  if (!in.no_plan.empty()) out += format("\nnot planned: {}\n", in.no_plan);
  return out;
}

Json inspection_json(const Inspection& in) {
  Json out{{"inputs", Json::object()}, {"layers", Json::array()}};
  for (const auto& [input, shape] : in.inputs) out["inputs"][input] = shape;
  for (const LayerRow& row : in.layers) out["layers"].push_back(row_json(row));
  Json all = row_json(in.all);
  all.erase("name");
  all.erase("kind");
  out["total"] = std::move(all);
  if (in.batch > 0) {
    Json memory{{"batch", in.batch}};
    if (in.training) memory["training"] = plan_json(*in.training);
    if (in.prediction) memory["prediction"] = plan_json(*in.prediction);
    if (!in.no_plan.empty()) memory["error"] = in.no_plan;
    out["memory"] = std::move(memory);
  }
  return out;
}

}  // namespace trainyard::graph
