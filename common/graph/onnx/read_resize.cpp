// Resize and Upsample. Source: ONNX, Resize: sizes, scales and the coordinates between them.
#include <algorithm>
#include <cmath>

#include "common/graph/onnx/operators.hpp"

namespace trainyard::graph::onnx_file {
namespace {

using ops::Coordinates;
using ops::Interpolation;
using ops::NearestMode;

/// What becomes of one axis.
struct Target {
  std::int64_t size = 0;
  double scale = 0;  // 0: that of the sizes
};

template <typename Value>
struct Word {
  const char* name;
  Value value;
};

template <typename Value, std::size_t count>
Value choose(Call& c, const char* attribute, const char* otherwise, const Word<Value> (&words)[count]) {
  const std::string word = c.word(attribute, otherwise);
  for (const auto& [name, value] : words)
    if (word == name) return value;
  c.require(false, "{} is '{}', which is not supported", attribute, shown(word));
  return words[0].value;
}

Interpolation interpolation_of(Call& c) {
  return choose<Interpolation>(c, "mode", "nearest",
                               {{"nearest", Interpolation::nearest},
                                {"linear", Interpolation::linear},
                                {"bilinear", Interpolation::linear},
                                {"cubic", Interpolation::cubic}});
}

NearestMode nearest_of(Call& c) {
  return choose<NearestMode>(c, "nearest_mode", "round_prefer_floor",
                             {{"round_prefer_floor", NearestMode::round_prefer_floor},
                              {"round_prefer_ceil", NearestMode::round_prefer_ceil},
                              {"floor", NearestMode::floor},
                              {"ceil", NearestMode::ceil}});
}

Target scaled(Call& c, std::int64_t extent, double scale) {
  if (!c.require(std::isfinite(scale) && scale > 0, "a scale of {}", scale)) return {};
  if (scale == 1) return {extent, 0};
  if (!c.require(extent >= 0, "scales the batch of {}", c.shape(0).text())) return {};
  const float size = std::floor(static_cast<float>(extent) * static_cast<float>(scale));
  if (!c.require(size >= 1 && size < 1 << 24, "an extent of {}", size)) return {};
  return {static_cast<std::int64_t>(size), scale};
}

/// Rounds one pass over the last two axes of what is brought there.
class Resizing {
 public:
  Resizing(Call& call, Attributes attributes, bool symmetric, bool smooth)
      : c_(call), a_(std::move(attributes)), symmetric_(symmetric), smooth_(smooth) {}

  ValueId run(ValueId x, const std::vector<Target>& targets) {
    std::vector<std::int64_t> changed;
    const Shape from = c_.shape_of(x);
    if (!c_.ok() || from.rank() != targets.size()) return x;
    for (std::size_t i = 0; i < targets.size(); ++i)
      if (targets[i].size != from[i] || targets[i].scale != 0)
        changed.push_back(static_cast<std::int64_t>(i));
    while (!changed.empty() && c_.ok()) {
      std::vector<std::int64_t> pair{changed.back()};
      changed.pop_back();
      if (!changed.empty()) pair.insert(pair.begin(), changed.back()), changed.pop_back();
      x = pass(x, pair, targets);
    }
    return x;
  }

 private:
  /// With the axes of `pair` brought to the end.
  ValueId pass(ValueId x, const std::vector<std::int64_t>& pair, const std::vector<Target>& targets) {
    const Shape from = c_.shape_of(x);
    std::vector<std::int64_t> order, back(from.rank());
    for (std::size_t i = 0; i < from.rank(); ++i)
      if (std::find(pair.begin(), pair.end(), static_cast<std::int64_t>(i)) == pair.end())
        order.push_back(static_cast<std::int64_t>(i));
    order.insert(order.end(), pair.begin(), pair.end());
    for (std::size_t i = 0; i < order.size(); ++i)
      back[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
    const std::size_t kept = from.rank() - pair.size();
    const ValueId turned = c_.transpose(x, order);
    const Shape to = c_.shape_of(turned);
    if (!c_.ok()) return x;
    for (std::size_t i = kept; i < to.rank(); ++i)
      if (!c_.require(to[i] >= 1, "of {}, which has no extent to resize", from.text())) return x;

    const Target one{1, 0};
    const Target height = pair.size() == 2 ? targets[static_cast<std::size_t>(pair[0])] : one;
    const Target width = targets[static_cast<std::size_t>(pair.back())];
    Attributes a = a_;
    const std::int64_t in_height = pair.size() == 2 ? to[kept] : 1, in_width = to[to.rank() - 1];
    a.dims = {height.size, width.size};
    a.alpha = scale_of(height, in_height);
    a.beta = scale_of(width, in_width);
    ValueId image = turned;
    const bool is_image = to.rank() == 4 && pair.size() == 2;
    if (!is_image) image = c_.reshape(image, {to.volume(0, kept), 1, in_height, in_width});
    ValueId y = c_.add(Kind::resize, a, {image});
    std::vector<std::int64_t> dims(to.dims().begin(), to.dims().begin() + static_cast<std::ptrdiff_t>(kept));
    if (pair.size() == 2) dims.push_back(height.size);
    dims.push_back(width.size);
    return c_.transpose(c_.reshape(y, dims), back);
  }

  double scale_of(const Target& target, std::int64_t extent) {
    const double exact = static_cast<double>(target.size) / static_cast<double>(extent);
    const double scale = target.scale == 0 ? exact : target.scale;
    if (symmetric_)
      c_.require(std::abs(scale * static_cast<double>(extent) - static_cast<double>(target.size)) < 1e-4,
                 "half_pixel_symmetric with a scale of {}, which gives no whole extent of {}", scale, extent);
    if (smooth_) c_.require(scale >= 1, "antialias with a scale of {} is not supported", scale);
    return target.scale;
  }

  Call& c_;
  Attributes a_;
  const bool symmetric_, smooth_;
};

/// The sizes that input `index` asks for, along `axes`.
void sized(Call& c, std::size_t index, const std::vector<std::int64_t>& axes, std::vector<Target>& targets) {
  const std::string policy = c.word("keep_aspect_ratio_policy", "stretch");
  const auto sizes = c.extents(index);
  const Shape& x = c.shape(0);
  if (!c.require(sizes.size() == axes.size(), "{} sizes for {} axes", sizes.size(), axes.size())) return;
  double common = 0;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<std::size_t>(axes[i]);
    if (sizes[i] == of_dimension(x[axis]) && policy == "stretch") continue;
    if (!c.require(!sizes[i].batch && sizes[i].count >= 1 && sizes[i].count < 1 << 24 && x[axis] >= 1,
                   "{} to a size of {}", x.text(), text(sizes[i])))
      return;
    targets[axis] = {sizes[i].count, 0};
    const double scale = static_cast<double>(sizes[i].count) / static_cast<double>(x[axis]);
    common = i == 0 ? scale : policy == "not_larger" ? std::min(common, scale) : std::max(common, scale);
  }
  if (policy == "stretch") return;
  if (!c.require(policy == "not_larger" || policy == "not_smaller", "keep_aspect_ratio_policy is '{}'",
                 shown(policy)))
    return;
  for (const std::int64_t axis : axes) {
    const double size = std::floor(common * static_cast<double>(x[static_cast<std::size_t>(axis)]) + 0.5);
    targets[static_cast<std::size_t>(axis)] = {std::max<std::int64_t>(1, static_cast<std::int64_t>(size)),
                                               common};
  }
}

std::vector<Target> same_as(const Shape& x) {
  std::vector<Target> out;
  for (const std::int64_t dim : x.dims()) out.push_back({dim, 0});
  return out;
}

void scale_all(Call& c, const std::vector<double>& scales, const std::vector<std::int64_t>& axes,
               std::vector<Target>& targets) {
  if (!c.require(scales.size() == axes.size(), "{} scales for {} axes", scales.size(), axes.size())) return;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<std::size_t>(axes[i]);
    targets[axis] = scaled(c, c.shape(0)[axis], scales[i]);
  }
}

std::vector<std::int64_t> all_axes(const Shape& x) {
  std::vector<std::int64_t> out;
  for (std::size_t i = 0; i < x.rank(); ++i) out.push_back(static_cast<std::int64_t>(i));
  return out;
}

/// Upsample, and Resize as operator set 10 has it: scales only, from the first pixel on. Where Resize makes
/// an axis shorter its nearest pixel is the next one (onnxruntime does so; the operator did not say).
void upsample(Call& c) {
  Attributes a;
  a.interpolation = interpolation_of(c);
  a.coordinates = Coordinates::asymmetric;
  a.nearest_mode = NearestMode::floor;
  auto targets = same_as(c.shape(0));
  const bool attribute = c.version() < 9;
  scale_all(c, attribute ? c.number_list("scales") : c.numbers(1), all_axes(c.shape(0)), targets);
  const DType type = c.type(0);
  ValueId x = c.cast(c.value(0), DType::f32);
  auto shorter = same_as(c.shape(0));
  bool any = false;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (targets[i].scale == 0 || targets[i].scale >= 1) continue;
    shorter[i] = targets[i];
    targets[i].scale = 0;  // done by then
    any = true;
  }
  if (any) {
    Attributes ceiling = a;
    ceiling.nearest_mode = NearestMode::ceil;
    x = Resizing(c, ceiling, false, false).run(x, shorter);
  }
  c.give(c.cast(Resizing(c, a, false, false).run(x, targets), type));
}

void resize(Call& c) {
  if (c.version() < 11) return upsample(c);
  Attributes a;
  a.interpolation = interpolation_of(c);
  a.nearest_mode = nearest_of(c);
  const bool symmetric = c.word("coordinate_transformation_mode", "half_pixel") == "half_pixel_symmetric";
  a.coordinates = choose<Coordinates>(c, "coordinate_transformation_mode", "half_pixel",
                                      {{"half_pixel", Coordinates::half_pixel},
                                       {"half_pixel_symmetric", Coordinates::half_pixel},
                                       {"pytorch_half_pixel", Coordinates::pytorch_half_pixel},
                                       {"align_corners", Coordinates::align_corners},
                                       {"asymmetric", Coordinates::asymmetric}});
  a.bias = c.number("cubic_coeff_a", -0.75);
  c.ignore("extrapolation_value");  // of a mode that is refused
  c.integer("exclude_outside", 0, 0, a.interpolation == Interpolation::cubic ? 0 : 1);
  const bool smooth = c.flag("antialias", false);
  std::vector<std::int64_t> axes = c.integer_list("axes");
  for (std::int64_t& axis : axes) axis = c.axis(axis, c.shape(0).rank());
  if (axes.empty()) axes = all_axes(c.shape(0));
  auto targets = same_as(c.shape(0));
  if (!c.ok()) return;
  const auto given = [&](std::size_t index) { return c.has(index) && c.shape(index) != Shape{0}; };
  if (given(3)) {
    sized(c, 3, axes, targets);
  } else if (c.require(given(2), "it has neither scales nor sizes")) {
    c.ignore("keep_aspect_ratio_policy");  // of sizes
    scale_all(c, c.numbers(2), axes, targets);
  }
  const DType type = c.type(0);
  const ValueId x = c.cast(c.value(0), DType::f32);
  c.give(c.cast(
      Resizing(c, a, symmetric, smooth && a.interpolation != Interpolation::nearest).run(x, targets), type));
}

constexpr Operator operators[] = {
    {"Upsample", 7, upsample, 9},
    {"Resize", 10, resize},
};

}  // namespace

std::span<const Operator> resize_operators() { return operators; }

}  // namespace trainyard::graph::onnx_file
