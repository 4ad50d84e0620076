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

/// ONNX has no bags: each row that was looked up is added to that of its bag. The bag of a position is the
/// number of bags that began at it or before.
Status embedding_bag(Writer& w, const Node& at) {
  const std::string ids = w.name(at.inputs[1]), offsets = w.name(at.inputs[2]);
  const DType whole = w.type(at.inputs[1]);
  const int integer = onnx_type(whole), real = onnx_type(DType::f32);
  const std::int64_t width = w.shape(at.outputs[0])[1];
  const auto rows_extents = w.extents({w.shape(at.inputs[1])[0], width});
  const auto result_extents = w.extents({w.shape(at.outputs[0])[0], width});
  const auto column_extents = w.extents({w.shape(at.outputs[0])[0], 1});
  for (const auto* extents : {&rows_extents, &result_extents, &column_extents})
    if (!*extents) return extents->error();
  const std::string zero = w.number(0, whole), one = w.number(1, whole);
  const auto column = [&](const std::string& x) { return w.apply("Unsqueeze", {x, w.integers({1})}); };
  const auto added = [&](const std::string& to, const std::string& where, const std::string& what) {
    const std::string sum = w.fresh();
    auto& node = w.node("ScatterElements", {to, where, what}, {sum});
    Writer::set(node, "axis", std::int64_t{0});
    Writer::set(node, "reduction", std::string("add"));
    return sum;
  };
  // Bags that begin behind the last position are empty and begin nowhere.
  const std::string length = w.fresh();
  auto& total =
      w.node("ReduceSum", {w.cast(w.apply("Equal", {ids, ids}), integer), w.integers({0})}, {length});
  Writer::set(total, "keepdims", std::int64_t{1});
  const std::string begins = w.cast(w.apply("Less", {offsets, length}), integer);
  const std::string first = w.apply("Min", {offsets, w.apply("Sub", {length, one})});
  const std::string begun =
      w.apply("CumSum", {added(w.apply("Sub", {ids, ids}), first, begins), w.number(0, DType::i64)});
  const std::string bag = w.apply("Max", {w.apply("Sub", {begun, one}), zero});
  const std::string counts = w.cast(
      w.apply("And", {w.apply("GreaterOrEqual", {ids, zero}), w.apply("GreaterOrEqual", {begun, one})}),
      real);
  const std::string rows = w.apply(
      "Mul", {w.apply("Gather", {w.name(at.inputs[0]), w.apply("Max", {ids, zero})}), column(counts)});
  const std::string blank = w.number(0);
  const std::string sums = added(w.apply("Expand", {blank, *result_extents}),
                                 w.apply("Expand", {column(bag), *rows_extents}), rows);
  if (at.attributes.reduction == ops::Reduction::sum) {
    w.make("Identity", {sums}, at.outputs[0]);
    return {};
  }
  const std::string members = added(w.apply("Expand", {blank, *column_extents}), column(bag), column(counts));
  w.make("Div", {sums, w.apply("Max", {members, w.number(1)})}, at.outputs[0]);
  return {};
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
    case Kind::embedding_bag:
      if (const Status done = embedding_bag(w, at); !done) return done.error();
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
