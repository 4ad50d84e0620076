#include "common/graph/fine_tune.hpp"

#include <algorithm>

#include "common/base/check.hpp"
#include "common/base/text.hpp"
#include "common/config/layer_spec.hpp"
#include "common/graph/onnx/onnx.hpp"

namespace trainyard::graph {

namespace {

/// Can a dense layer read it: samples first, everything else closed?
bool is_feature(const Shape& shape) {
  return (shape.rank() == 2 || shape.rank() == 4) && shape[0] == tensor::kBatch;
}

bool owns_weight(const Graph& graph, const Node& node) {
  return node.inputs.size() > 1 && node.inputs[1] != kAbsent &&
         graph.values[node.inputs[1]].place == Place::parameter;
}

/// Which nodes the value depends on.
std::vector<bool> needed_for(const Graph& graph, ValueId id) {
  std::vector<bool> values(graph.values.size(), false), nodes(graph.nodes.size(), false);
  values[id] = true;
  for (std::size_t i = graph.nodes.size(); i-- > 0;) {
    const Node& node = graph.nodes[i];
    nodes[i] = std::ranges::any_of(node.outputs, [&](ValueId out) { return values[out]; });
    if (!nodes[i]) continue;
    for (const ValueId in : node.inputs)
      if (in != kAbsent) values[in] = true;
  }
  return nodes;
}

Result<ValueId> place_of(const Model& model, const std::string& after) {
  const Graph& graph = model.graph;
  if (!after.empty()) {
    const auto it = model.names.find(after);
    if (it != model.names.end()) return it->second;
    const auto places = head_places(model);
    const auto hint = nearest(after, places);
    return Error{Errc::not_found, format("the model has no value '{}'{}", after,
                                         hint ? format("; did you mean '{}'?", *hint) : std::string())};
  }
  const auto needed = needed_for(graph, graph.results[0]);
  for (std::size_t i = graph.nodes.size(); i-- > 0;) {
    const Node& node = graph.nodes[i];
    const bool linear = node.kind == Kind::dense || node.kind == Kind::conv2d || node.kind == Kind::matmul;
    if (needed[i] && linear && owns_weight(graph, node)) return node.inputs[0];
  }
  return Error{Errc::invalid,
               "the model has no dense layer or convolution to put another head for; name a value"};
}

/// The model up to one value: its nodes, inputs and tensors, these without gaps again.
Model cut_behind(const Model& from, ValueId last) {
  Model out = from;
  Graph& graph = out.graph;
  const auto needed = needed_for(graph, last);
  std::vector<bool> used(graph.values.size(), false);
  used[last] = true;
  graph.nodes.clear();
  for (std::size_t i = 0; i < from.graph.nodes.size(); ++i) {
    if (!needed[i]) continue;
    graph.nodes.push_back(from.graph.nodes[i]);
    for (const ValueId id : from.graph.nodes[i].inputs)
      if (id != kAbsent) used[id] = true;
    for (const ValueId id : from.graph.nodes[i].outputs) used[id] = true;
  }
  graph.externals.clear();
  out.tensors.clear();
  out.given.clear();
  out.length = 0;
  for (ValueId id = 0; id < graph.values.size(); ++id) {
    Value& value = graph.values[id];
    if (value.place == Place::external && used[id]) {
      graph.externals.push_back(from.graph.externals[value.offset]);
      value.offset = graph.externals.size() - 1;
    } else if (!used[id]) {
      value = Value{value.of};  // nobody asks for it any more
    }
  }
  for (const TensorInfo& tensor : from.tensors) {
    bool kept = false;
    for (ValueId id = 0; id < graph.values.size(); ++id) {
      const Value& old = from.graph.values[id];
      const bool same =
          old.place == Place::parameter && old.offset == tensor.offset && old.of.shape == Shape(tensor.shape);
      if (!same || !used[id]) continue;
      graph.values[id].offset = out.length;
      kept = true;
    }
    if (!kept) continue;
    out.tensors.push_back(tensor);
    out.tensors.back().offset = out.length;
    out.given.resize(out.length + tensor.length, 0.0f);
    if (from.given.size() >= tensor.offset + tensor.length)
      std::copy_n(from.given.begin() + static_cast<std::ptrdiff_t>(tensor.offset), tensor.length,
                  out.given.begin() + static_cast<std::ptrdiff_t>(out.length));
    out.length += tensor.length;
  }
  std::erase_if(out.names, [&](const auto& entry) { return !used[entry.second]; });
  out.result_names.clear();
  graph.results.clear();
  return out;
}

std::string free_name(const Model& model) {
  const auto taken = [&](const std::string& name) {
    return std::ranges::any_of(model.tensors, [&](const auto& t) { return t.name.starts_with(name + "."); });
  };
  std::string name = "head";
  for (int i = 2; taken(name); ++i) name = format("head{}", i);
  return name;
}

/// The model as it is, up to its scores.
Result<Model> keep_head(const Model& model, std::uint32_t classes) {
  ValueId scores = model.graph.results[0];
  for (const Node& node : model.graph.nodes) {
    if (node.kind != Kind::softmax || node.outputs[0] != scores) continue;
    scores = node.inputs[0];
    break;
  }
  const Shape shape = model.graph.shape(scores);
  if (shape != Shape{tensor::kBatch, classes})
    return Error{Errc::invalid, format("head {}: the network gives {}, and the data have {} classes; head: "
                                       "auto puts another layer there",
                                       config::kHeadKeep, shape.text(), classes)};
  Model out = cut_behind(model, scores);
  out.graph.results = {scores};
  out.result_names = {"logits"};
  return out;
}

}  // namespace

Result<Model> replace_head(const Model& model, const Head& head, std::uint32_t batch_max) {
  if (head.classes < 1) return Error{Errc::invalid, "a head has at least one class"};
  const auto place = place_of(model, head.after);
  if (!place) return place.error();
  const Shape shape = model.graph.shape(*place);
  if (!is_feature(shape))
    return Error{
        Errc::invalid,
        format("a head goes behind features [N, F] or an image [N, C, H, W]; {} is {}",
               head.after.empty() ? "the operand of the last layer" : "'" + head.after + "'", shape.text())};
  Model cut = cut_behind(model, *place);
  const std::string prefix = free_name(cut);
  Builder builder(batch_max, std::move(cut));
  builder.origin("dense", "model.head");
  ValueId x = *place;
  if (shape.rank() == 4 && shape.volume(2) != 1) {
    Attributes pool;
    pool.kernel_height = shape[2];
    pool.kernel_width = shape[3];
    const auto pooled = builder.add(Kind::avg_pool, pool, {x});
    if (!pooled) return pooled.error();
    x = *pooled;
  }
  const auto weight =
      builder.parameter(prefix + ".weight", {head.classes, shape[1]}, TensorKind::weight, Init::lecun);
  if (!weight) return weight.error();
  const auto bias = builder.parameter(prefix + ".bias", {head.classes}, TensorKind::bias, Init::zero);
  if (!bias) return bias.error();
  const auto y = builder.add(Kind::dense, {.axis = 1}, {x, *weight, *bias});
  if (!y) return y.error();
  Model out = std::move(builder).finish({*y});
  out.result_names = {"logits"};
  return out;
}

Result<Model> imported_model(const std::string& file, const std::string& head, const Signature& input,
                             std::uint32_t classes, std::uint32_t batch_max) {
  OnnxImport options;
  options.batch_max = batch_max;
  options.only_input = input.shape.dims();
  const auto model = import_onnx_file(file, options);
  if (!model) return model.error().with(format("for input {} of the data", input.shape.text()));
  const bool by_name = head != config::kHeadAuto;
  auto out = head == config::kHeadKeep
                 ? keep_head(*model, classes)
                 : replace_head(*model, {by_name ? head : std::string(), classes}, batch_max);
  if (!out) return out.error().with(file);
  return out;
}

bool matches(const std::string& pattern, const std::string& text) {
  std::size_t p = 0, t = 0, star = std::string::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || (pattern[p] != '*' && pattern[p] == text[t]))) {
      ++p;
      ++t;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (star != std::string::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Status freeze_tensors(Model& model, std::span<const std::string> patterns) {
  std::vector<std::string> names;
  for (const TensorInfo& tensor : model.tensors) names.push_back(tensor.name);
  std::vector<bool> frozen(names.size(), false);
  for (const std::string& pattern : patterns) {
    bool any = false;
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (!matches(pattern, names[i])) continue;
      frozen[i] = any = true;
    }
    if (any) continue;
    const auto hint = nearest(pattern, names);
    return Error{Errc::not_found, format("no tensor of the model matches '{}'{}", pattern,
                                         hint ? format("; did you mean '{}'?", *hint) : std::string())};
  }
  freeze_tensors(model, std::move(frozen));
  return {};
}

std::vector<bool> freeze_tensors(Model& model, std::vector<bool> frozen) {
  check(frozen.size() == model.tensors.size(), "of each tensor it is said whether it is frozen");
  const auto tensor_of = [&](ValueId id) {  // as many as there are tensors: it is none
    const Value& value = model.graph.values[id];
    std::size_t i = 0;
    while (i < frozen.size() && (value.place != Place::parameter || value.offset != model.tensors[i].offset ||
                                 value.of.shape != Shape(model.tensors[i].shape)))
      ++i;
    return i;
  };
  const auto is_frozen = [&](ValueId id) {
    const std::size_t i = tensor_of(id);
    return i < frozen.size() && frozen[i];
  };
  for (ValueId id = 0; id < model.graph.values.size(); ++id)
    if (is_frozen(id)) model.graph.values[id].trainable = false;
  for (Node& node : model.graph.nodes) {
    if (node.kind != Kind::batch_norm) continue;
    const bool still =
        !model.graph.values[node.inputs[1]].trainable && !model.graph.values[node.inputs[2]].trainable;
    if (!still || std::none_of(node.inputs.begin() + 1, node.inputs.end(), is_frozen)) continue;
    node.attributes.frozen = true;
    for (const std::size_t statistics : {3, 4})
      if (const std::size_t i = tensor_of(node.inputs[statistics]); i < frozen.size()) frozen[i] = true;
  }
  return frozen;
}

std::vector<std::string> head_places(const Model& model) {
  std::vector<std::pair<ValueId, std::string>> found;
  for (const auto& [name, id] : model.names)
    if (is_feature(model.graph.shape(id))) found.emplace_back(id, name);
  std::ranges::sort(found);
  std::vector<std::string> out;
  for (auto& [id, name] : found) out.push_back(std::move(name));
  return out;
}

}  // namespace trainyard::graph
