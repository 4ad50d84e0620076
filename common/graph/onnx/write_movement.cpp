// Operations that move elements.
#include <algorithm>

#include "common/graph/onnx/writer.hpp"

namespace trainyard::graph::onnx_file {
namespace {

void slice(Writer& w, const Node& at) {
  const Attributes& a = at.attributes;
  std::vector<std::int64_t> starts = a.starts, ends = a.ends;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    // Here an end of -1 is in front of the first element; there it would be the last one.
    if (a.steps[i] < 0 && ends[i] == -1) ends[i] = INT64_MIN + 1;
    if (w.shape(at.outputs[0])[static_cast<std::size_t>(a.axes[i])] == 0) starts[i] = ends[i] = 0;
  }
  const std::string from = w.integers(starts), to = w.integers(ends), axes = w.integers(a.axes);
  w.make("Slice", {w.name(at.inputs[0]), from, to, axes, w.integers(a.steps)}, at.outputs[0]);
}

void pad(Writer& w, const Node& at) {
  const Attributes& a = at.attributes;
  std::vector<std::int64_t> pads = a.starts;
  pads.insert(pads.end(), a.ends.begin(), a.ends.end());
  const bool constant = a.pad_mode == ops::PadMode::constant;
  const std::string x = w.as_bytes(at.inputs[0]), sizes = w.integers(pads);
  const std::string value = constant ? w.number(a.alpha, w.type(at.inputs[0])) : "";
  auto& node = w.make("Pad", {x, sizes, value}, at.outputs[0]);
  Writer::set(node, "mode",
              std::string(constant                           ? "constant"
                          : a.pad_mode == ops::PadMode::edge ? "edge"
                                                             : "reflect"));
}

Status expand(Writer& w, const Node& at) {
  if (at.attributes.reduction == ops::Reduction::mean)
    return Error{Errc::refused, "divided by the number of copies"};
  const auto dims = w.extents(w.shape(at.outputs[0]).dims());
  if (!dims) return dims.error();
  w.make("Expand", {w.name(at.inputs[0]), *dims}, at.outputs[0]);
  return {};
}

void concat(Writer& w, const Node& at) {
  const bool truth = std::ranges::all_of(at.inputs, [&](ValueId id) { return w.boolean(id); });
  std::vector<std::string> parts;
  for (const ValueId id : at.inputs) parts.push_back(truth ? w.name(id) : w.as_bytes(id));
  if (truth) w.mark_boolean(at.outputs[0]);
  Writer::set(w.make("Concat", parts, at.outputs[0]), "axis", at.attributes.axis);
}

}  // namespace

Result<bool> write_movement(Writer& w, const Node& at) {
  const auto keep_boolean = [&] {
    if (w.boolean(at.inputs[0])) w.mark_boolean(at.outputs[0]);
  };
  switch (at.kind) {
    case Kind::reshape:
      keep_boolean();
      w.reshape(w.name(at.inputs[0]), w.shape(at.outputs[0]).dims(), w.name(at.outputs[0]));
      return true;
    case Kind::transpose:
      keep_boolean();
      w.transpose(w.name(at.inputs[0]), at.attributes.axes, w.name(at.outputs[0]));
      return true;
    case Kind::slice:
      keep_boolean();
      slice(w, at);
      return true;
    case Kind::concat:
      concat(w, at);
      return true;
    case Kind::pad:
      pad(w, at);
      return true;
    case Kind::expand:
      keep_boolean();
      if (const Status done = expand(w, at); !done) return done.error();
      return true;
    default:
      return false;
  }
}

}  // namespace trainyard::graph::onnx_file
