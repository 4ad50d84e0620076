#include "common/graph/layers/layer_builder.hpp"

#include "common/base/text.hpp"

namespace trainyard::graph {

using config::LayerKind;

namespace {

bool rectifies(LayerKind kind) {
  switch (kind) {
    case LayerKind::relu:
    case LayerKind::relu6:
    case LayerKind::leaky_relu:
    case LayerKind::elu:
    case LayerKind::celu:
    case LayerKind::gelu:
    case LayerKind::silu:
    case LayerKind::mish:
    case LayerKind::hard_swish:
    case LayerKind::prelu:
      return true;
    default:
      return false;
  }
}

bool rectifies(const config::Layer& layer) {
  return rectifies(layer.kind) ||
         (layer.activation != config::Activation::none && layer.activation != config::Activation::tanh &&
          layer.activation != config::Activation::sigmoid);
}

template <typename Visit>
void walk(const std::vector<config::Layer>& layers, const Visit& visit) {
  for (const config::Layer& layer : layers) {
    visit(layer);
    for (const auto& branch : layer.branches) walk(branch, visit);
    walk(layer.layers, visit);
    walk(layer.shortcut, visit);
  }
}

std::string place_of(const config::Layer& layer, const std::string& path) {
  return layer.line == 0 ? path : format("{} ({}:{})", path, layer.line, layer.column);
}

/// How the tensors of a kind begin.
std::string short_name(LayerKind kind) {
  switch (kind) {
    case LayerKind::conv2d:
    case LayerKind::depthwise_conv2d:
    case LayerKind::conv2d_transpose:
    case LayerKind::conv1d:
      return "conv";
    case LayerKind::batch_norm:
      return "bn";
    case LayerKind::multi_head_attention:
      return "attention";
    case LayerKind::transformer_encoder:
      return "encoder";
    default:
      return config::layer_name(kind);
  }
}

}  // namespace

LayerBuilder::Scope::Scope(const Layers& layers, std::string names_prefix, const Scope* around)
    : prefix(std::move(names_prefix)), outer(around) {
  for (const Layer& layer : layers)
    if (!layer.name.empty()) taken.insert(layer.name);
}

LayerBuilder::LayerBuilder(const Layers& layers, std::uint32_t batch_max) : layers_(layers), net_(batch_max) {
  std::size_t at = 0;
  walk(layers, [&](const Layer& layer) {
    order_[&layer] = ++at;
    if (rectifies(layer)) last_rectifier_ = at;
  });
}

Init LayerBuilder::weight_init(const Layer& layer) const {
  return order_.at(&layer) <= last_rectifier_ ? Init::he : Init::lecun;
}

Result<Model> LayerBuilder::run(const Signature& input, std::uint32_t classes) {
  input_ = net_.input("input", input);
  Scope scope(layers_, "", nullptr);
  const ValueId x = list(layers_, "model.layers", input_, scope);
  if (net_.failed()) return net_.status().error();
  const std::int64_t outputs = -net_.shape(x).volume();
  if (outputs != classes) {
    const Layer& last = layers_.back();
    const std::string advice = last.kind == LayerKind::dense
                                   ? format("set its units to {}", classes)
                                   : format("end it with dense: {{units: {}}}", classes);
    return Error{
        Errc::invalid,
        format("{}: the network ends with {} outputs a sample, but the data have {} classes; {}",
               place_of(last, format("model.layers[{}]", layers_.size() - 1)), outputs, classes, advice)};
  }
  const ValueId scores = net_.flatten(x);
  return std::move(net_).finish({scores});
}

ValueId LayerBuilder::list(const Layers& layers, const std::string& path, ValueId x, Scope& scope) {
  for (std::size_t i = 0; i < layers.size() && !net_.failed(); ++i) {
    const std::string at = format("{}[{}]", path, i);
    x = layer(layers[i], place_of(layers[i], at), at, x, scope);
    if (!layers[i].name.empty()) scope.named[layers[i].name] = x;
  }
  return x;
}

ValueId LayerBuilder::source(const std::string& name, const Scope& scope) {
  if (name == config::kInputName) return input_;
  for (const Scope* at = &scope; at != nullptr; at = at->outer)
    if (const auto it = at->named.find(name); it != at->named.end()) return it->second;
  net_.fail(format("there is no layer '{}' in front of it", name));
  return kAbsent;
}

std::string LayerBuilder::name_of(const Layer& layer, Scope& scope) {
  if (!layer.name.empty()) return scope.prefix + layer.name;
  const std::string kind = short_name(layer.kind);
  std::string name;
  do name = kind + std::to_string(++scope.counts[kind]);
  while (scope.taken.contains(name));
  return scope.prefix + name;
}

ValueId LayerBuilder::layer(const Layer& layer, const std::string& place, const std::string& path, ValueId x,
                            Scope& scope) {
  const std::string name = name_of(layer, scope);
  net_.begin(name, config::layer_name(layer.kind), place);
  if (++made_ > kLayersMax) {
    net_.fail(format("more than {} layers, repeats counted", kLayersMax));
    return kAbsent;
  }
  std::vector<ValueId> inputs;
  for (const std::string& from : layer.from) inputs.push_back(source(from, scope));
  if (inputs.empty()) inputs.push_back(x);
  if (net_.failed()) return kAbsent;
  const std::string inner = format("{}.{}", path, config::layer_name(layer.kind));
  switch (layer.kind) {
    case LayerKind::residual:
      return residual(layer, name, inner, inputs[0], scope, place);
    case LayerKind::branches:
      return branches(layer, name, inner, inputs[0], scope, place);
    case LayerKind::repeat:
      return repeat(layer, name, inner, inputs[0], scope);
    default:
      return make(layer, name, inputs);
  }
}

ValueId LayerBuilder::residual(const Layer& layer, const std::string& name, const std::string& path,
                               ValueId x, const Scope& scope, const std::string& place) {
  Scope body_scope(layer.layers, name + ".", &scope);
  const ValueId body = list(layer.layers, path + ".layers", x, body_scope);
  Scope shortcut_scope(layer.shortcut, name + ".shortcut.", &scope);
  const ValueId shortcut = list(layer.shortcut, path + ".shortcut", x, shortcut_scope);
  if (net_.failed()) return kAbsent;
  net_.begin(name, "residual", place);
  const Shape &made = net_.shape(body), &around = net_.shape(shortcut);
  if (made == around) return net_.add(body, shortcut);
  std::string fitting = "layers of the same result";
  if (made.rank() == 4 && around.rank() == 4) {
    const std::int64_t down = (around[2] + made[2] - 1) / made[2],
                       right = (around[3] + made[3] - 1) / made[3];
    const std::string stride = down == right ? std::to_string(down) : format("[{}, {}]", down, right);
    fitting = format("[conv2d: {{filters: {}, kernel: 1, stride: {}}}]", made[1], stride);
  } else if (made.rank() == around.rank() && made.rank() > 1) {
    fitting = format("[dense: {{units: {}}}]", made[made.rank() - 1]);
  }
  net_.fail(
      format("residual adds {} of its layers to {} of its {}; they have to be the same, for example "
             "with shortcut: {}",
             made.text(), around.text(), layer.shortcut.empty() ? "input" : "shortcut", fitting));
  return kAbsent;
}

ValueId LayerBuilder::branches(const Layer& layer, const std::string& name, const std::string& path,
                               ValueId x, const Scope& scope, const std::string& place) {
  const char* const joins[] = {"concat", "add", "multiply", "average", "maximum"};
  std::vector<ValueId> results;
  for (std::size_t i = 0; i < layer.branches.size(); ++i) {
    Scope inside(layer.branches[i], format("{}.{}.", name, i), &scope);
    results.push_back(list(layer.branches[i],
                           format("{}.{}[{}]", path, joins[static_cast<std::size_t>(layer.join)], i), x,
                           inside));
  }
  if (net_.failed()) return kAbsent;
  net_.begin(name, "branches", place);
  if (results.size() < 2) {
    net_.fail("branches are at least two");
    return kAbsent;
  }
  return merge(layer.join, results, layer.axis);
}

ValueId LayerBuilder::repeat(const Layer& layer, const std::string& name, const std::string& path, ValueId x,
                             const Scope& scope) {
  for (std::uint32_t i = 0; i < layer.times && !net_.failed(); ++i) {
    Scope inside(layer.layers, format("{}.{}.", name, i), &scope);
    x = list(layer.layers, path + ".layers", x, inside);
  }
  return x;
}

}  // namespace trainyard::graph
