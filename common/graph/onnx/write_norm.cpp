// Normalizations.
#include "common/graph/onnx/writer.hpp"

namespace trainyard::graph::onnx_file {
namespace {

Status only_first(Writer& w, const Node& at) {
  for (std::size_t i = 1; i < at.outputs.size(); ++i)
    if (w.uses(at.outputs[i]) > 0) return Error{Errc::refused, "its statistics have no counterpart"};
  return {};
}

/// function(normalized + addend), where the operation has them.
void batch_norm(Writer& w, const Node& at) {
  std::vector<std::string> inputs;
  for (std::size_t i = 0; i < 5; ++i) inputs.push_back(w.name(at.inputs[i]));
  const bool adds = at.inputs.size() > 5 && at.inputs[5] != kAbsent;
  const ops::Function function = at.attributes.function;
  const bool activates = function != ops::Function::identity;
  const std::string y = w.name(at.outputs[0]);
  std::string now = adds || activates ? w.fresh() : y;
  auto& node = w.node("BatchNormalization", inputs, {now});
  Writer::set(node, "epsilon", at.attributes.epsilon);
  Writer::set(node, "momentum", 1 - at.attributes.momentum);
  if (adds) {
    const std::string sum = activates ? w.fresh() : y;
    w.node("Add", {now, w.name(at.inputs[5])}, {sum});
    now = sum;
  }
  if (activates) write_unary(w, function, at.attributes, now, y);
}

/// Its mean and deviation are results there too.
void layer_norm(Writer& w, const Node& at) {
  const Shape& x = w.shape(at.inputs[0]);
  const std::vector<std::int64_t> tail(x.dims().begin() + at.attributes.axis, x.dims().end());
  const auto present = [&](std::size_t i) { return i < at.inputs.size() && at.inputs[i] != kAbsent; };
  const std::string gamma =
      present(1) ? w.name(at.inputs[1])
                 : w.floats(std::vector<float>(static_cast<std::size_t>(Shape(tail).elements()), 1.0f), tail);
  std::vector<std::string> outputs{w.name(at.outputs[0])};
  for (std::size_t i = 1; i < at.outputs.size(); ++i)
    outputs.push_back(w.uses(at.outputs[i]) > 0 ? w.name(at.outputs[i]) : "");
  while (outputs.back().empty()) outputs.pop_back();
  auto& node =
      w.node("LayerNormalization",
             {w.name(at.inputs[0]), gamma, present(2) ? w.name(at.inputs[2]) : std::string()}, outputs);
  Writer::set(node, "axis", at.attributes.axis);
  Writer::set(node, "epsilon", at.attributes.epsilon);
}

/// Groups that are no single channels are channels of a reshaped image.
Status group_norm(Writer& w, const Node& at) {
  if (auto ok = only_first(w, at); !ok) return ok;
  const Shape& x = w.shape(at.inputs[0]);
  const std::int64_t groups = at.attributes.groups;
  const std::string in = w.name(at.inputs[0]);
  if (groups == x[1]) {
    auto& node =
        w.make("InstanceNormalization", {in, w.name(at.inputs[1]), w.name(at.inputs[2])}, at.outputs[0]);
    Writer::set(node, "epsilon", at.attributes.epsilon);
    return {};
  }
  const std::int64_t each = x.volume(1) / groups;
  const std::vector<float> ones(static_cast<std::size_t>(groups), 1.0f), zeros(ones.size(), 0.0f);
  const std::string grouped = w.reshape(in, {x[0], groups, each}), made = w.fresh();
  const std::string one = w.floats(ones, {groups}), zero = w.floats(zeros, {groups});
  Writer::set(w.node("InstanceNormalization", {grouped, one, zero}, {made}), "epsilon",
              at.attributes.epsilon);
  std::vector<std::int64_t> channel(x.rank() - 1, 1);
  channel[0] = x[1];
  const std::string back = w.reshape(made, x.dims());
  const std::string scaled = w.apply("Mul", {back, w.reshape(w.name(at.inputs[1]), channel)});
  w.make("Add", {scaled, w.reshape(w.name(at.inputs[2]), channel)}, at.outputs[0]);
  return {};
}

void lrn(Writer& w, const Node& at) {
  auto& node = w.make("LRN", {w.name(at.inputs[0])}, at.outputs[0]);
  Writer::set(node, "alpha", at.attributes.alpha);
  Writer::set(node, "beta", at.attributes.beta);
  Writer::set(node, "bias", at.attributes.bias);
  Writer::set(node, "size", at.attributes.size);
}

}  // namespace

Result<bool> write_norm(Writer& w, const Node& at) {
  switch (at.kind) {
    case Kind::batch_norm:
      batch_norm(w, at);
      return true;
    case Kind::layer_norm:
      layer_norm(w, at);
      return true;
    case Kind::group_norm:
      if (const Status done = group_norm(w, at); !done) return done.error();
      return true;
    case Kind::lrn:
      lrn(w, at);
      return true;
    default:
      return false;
  }
}

}  // namespace trainyard::graph::onnx_file
