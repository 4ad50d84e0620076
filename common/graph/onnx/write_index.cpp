// Operations that look elements up, and resizing.
#include <cmath>

#include "common/graph/onnx/writer.hpp"

namespace trainyard::graph::onnx_file {
namespace {

void gather(Writer& w, const Node& at) {
  if (w.boolean(at.inputs[0])) w.mark_boolean(at.outputs[0]);
  auto& node = w.make(at.kind == Kind::gather ? "Gather" : "GatherElements",
                      {w.name(at.inputs[0]), w.name(at.inputs[1])}, at.outputs[0]);
  Writer::set(node, "axis", at.attributes.axis);
}

void scatter(Writer& w, const Node& at) {
  auto& node =
      w.make("ScatterElements", {w.as_bytes(at.inputs[0]), w.name(at.inputs[1]), w.as_bytes(at.inputs[2])},
             at.outputs[0]);
  Writer::set(node, "axis", at.attributes.axis);
  if (at.attributes.accumulate) Writer::set(node, "reduction", std::string("add"));
}

void one_hot(Writer& w, const Node& at) {
  const Attributes& a = at.attributes;
  std::string values = w.floats({static_cast<float>(a.alpha), static_cast<float>(a.beta)}, {2});
  if (!tensor::is_real(a.type)) values = w.cast(values, onnx_type(a.type));
  const std::string depth = w.number(static_cast<double>(a.size), DType::i64);
  auto& node = w.make("OneHot", {w.name(at.inputs[0]), depth, values}, at.outputs[0]);
  Writer::set(node, "axis", a.axis);
}

std::string coordinates(ops::Coordinates coordinates) {
  switch (coordinates) {
    case ops::Coordinates::half_pixel:
      return "half_pixel";
    case ops::Coordinates::pytorch_half_pixel:
      return "pytorch_half_pixel";
    case ops::Coordinates::align_corners:
      return "align_corners";
    case ops::Coordinates::asymmetric:
      return "asymmetric";
  }
  return "half_pixel";
}

std::string nearest(ops::NearestMode mode) {
  switch (mode) {
    case ops::NearestMode::round_prefer_floor:
      return "round_prefer_floor";
    case ops::NearestMode::round_prefer_ceil:
      return "round_prefer_ceil";
    case ops::NearestMode::floor:
      return "floor";
    case ops::NearestMode::ceil:
      return "ceil";
  }
  return "floor";
}

/// Scales where the operation has its own and they lead to the same size, else sizes.
Result<std::vector<std::string>> sizes_of(Writer& w, const Node& at) {
  const Attributes& a = at.attributes;
  const Shape &x = w.shape(at.inputs[0]), &y = w.shape(at.outputs[0]);
  if (a.alpha == 0 && a.beta == 0) {
    const auto sizes = w.extents(y.dims());
    if (!sizes) return sizes.error();
    return std::vector<std::string>{"", "", *sizes};
  }
  std::vector<float> scales{1, 1};
  for (std::size_t i = 0; i < 2; ++i) {
    const double given = i == 0 ? a.alpha : a.beta;
    const double in = static_cast<double>(x[i + 2]), out = static_cast<double>(y[i + 2]);
    scales.push_back(static_cast<float>(given == 0 ? out / in : given));
    if (std::floor(static_cast<float>(in) * scales.back()) != static_cast<float>(out))
      return Error{Errc::refused, format("to {} by a scale that gives another size", y.text())};
  }
  return std::vector<std::string>{"", w.floats(scales, {4})};
}

Status resize(Writer& w, const Node& at) {
  const Attributes& a = at.attributes;
  auto inputs = sizes_of(w, at);
  if (!inputs) return inputs.error();
  inputs->insert(inputs->begin(), w.name(at.inputs[0]));
  auto& node = w.make("Resize", *inputs, at.outputs[0]);
  const bool cubic = a.interpolation == ops::Interpolation::cubic;
  const bool is_nearest = a.interpolation == ops::Interpolation::nearest;
  Writer::set(node, "mode", std::string(is_nearest ? "nearest" : cubic ? "cubic" : "linear"));
  Writer::set(node, "coordinate_transformation_mode", coordinates(a.coordinates));
  if (is_nearest) Writer::set(node, "nearest_mode", nearest(a.nearest_mode));
  if (cubic) Writer::set(node, "cubic_coeff_a", a.bias == 0 ? -0.75 : a.bias);
  return {};
}

}  // namespace

Result<bool> write_index(Writer& w, const Node& at) {
  switch (at.kind) {
    case Kind::gather:
    case Kind::gather_elements:
      gather(w, at);
      return true;
    case Kind::scatter_elements:
      scatter(w, at);
      return true;
    case Kind::one_hot:
      one_hot(w, at);
      return true;
    case Kind::resize:
      if (const Status done = resize(w, at); !done) return done.error();
      return true;
    default:
      return false;
  }
}

}  // namespace trainyard::graph::onnx_file
