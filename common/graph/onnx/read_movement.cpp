// Shapes, and operators that move elements.
#include <algorithm>
#include <numeric>

#include "common/graph/onnx/operators.hpp"

namespace trainyard::graph::onnx_file {
namespace {

/// Sizes as dimensions of a shape; an error for what is none.
std::vector<std::int64_t> dimensions(Call& c, const std::vector<Extent>& extents) {
  std::vector<std::int64_t> out;
  for (const Extent& extent : extents) {
    const auto dim = dimension(extent);
    if (!c.require(dim.has_value(), "an extent of {}", text(extent))) return {};
    out.push_back(*dim);
  }
  return out;
}

/// Fills in what a reshape leaves to be found: 0 takes the extent of x, -1 what is left.
std::vector<std::int64_t> reshaped(Call& c, std::vector<Extent> to, bool zero_is_zero) {
  const Shape& x = c.shape(0);
  std::optional<std::size_t> rest;
  // A file that fixes the batch names it here; the caller has opened it.
  const bool names_batch = !to.empty() && x.rank() > 0 && x[0] == tensor::kBatch && c.fixed_batch() > 0;
  if (names_batch && to[0] == Extent{c.fixed_batch(), false}) to[0] = {1, true};
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (to[i] == Extent{0, false} && !zero_is_zero) {
      if (!c.require(i < x.rank(), "a 0 as extent {} of what {} becomes", i, x.text())) return {};
      to[i] = of_dimension(x[i]);
    } else if (to[i] == Extent{-1, false}) {
      if (!c.require(!rest, "two extents of -1")) return {};
      rest = i;
      to[i] = {1, false};
    }
  }
  std::vector<std::int64_t> dims = dimensions(c, to);
  if (!c.ok() || !rest) return dims;
  if (auto ok = check_extents(dims); !ok) return c.fail(ok.error()), dims;
  const auto left = combine(Whole::divide, of_dimension(x.volume()), of_dimension(Shape(dims).volume()));
  if (!c.require(left.has_value() && dimension(*left).has_value(), "of {} to {}, where -1 fits no extent",
                 x.text(), Shape(dims).text()))
    return dims;
  dims[*rest] = *dimension(*left);
  return dims;
}

void reshape(Call& c) {
  const bool zero_is_zero = c.flag("allowzero", false);
  const auto dims = reshaped(c, c.extents(1), zero_is_zero);
  c.give(c.reshape(c.value(0), dims), 0, c.boolean(0));
}

void flatten(Call& c) {
  const Shape& x = c.shape(0);
  const std::int64_t given = c.integer("axis", 1);
  const std::int64_t axis = given == static_cast<std::int64_t>(x.rank()) ? given : c.axis(given, x.rank());
  const auto at = static_cast<std::size_t>(axis);
  c.give(c.reshape(c.value(0), {x.volume(0, at), x.volume(at)}), 0, c.boolean(0));
}

/// Axes as an attribute, or as input 1.
std::vector<std::int64_t> axes_of(Call& c, std::size_t rank) {
  std::vector<std::int64_t> axes;
  if (c.version() < 13)
    axes = c.integer_list("axes");
  else if (c.has(1))
    axes = c.integers(1);
  for (std::int64_t& axis : axes) axis = c.axis(axis, rank);
  std::sort(axes.begin(), axes.end());
  c.require(std::adjacent_find(axes.begin(), axes.end()) == axes.end(), "an axis is named twice");
  return axes;
}

void squeeze(Call& c) {
  const Shape& x = c.shape(0);
  const auto axes = axes_of(c, x.rank());
  std::vector<std::int64_t> dims;
  for (std::size_t i = 0; i < x.rank(); ++i) {
    const bool named = std::binary_search(axes.begin(), axes.end(), static_cast<std::int64_t>(i));
    if (!c.require(!named || x[i] == 1, "axis {} of {} is not 1", i, x.text())) return;
    if (!named && !(axes.empty() && x[i] == 1)) dims.push_back(x[i]);
  }
  c.give(c.reshape(c.value(0), dims), 0, c.boolean(0));
}

void unsqueeze(Call& c) {
  std::vector<std::int64_t> dims = c.shape(0).dims();
  const std::size_t added = c.version() < 13 ? c.integer_list("axes").size() : c.integers(1).size();
  for (const std::int64_t axis : axes_of(c, dims.size() + added)) {
    if (!c.ok()) return;
    dims.insert(dims.begin() + axis, 1);
  }
  c.give(c.reshape(c.value(0), dims), 0, c.boolean(0));
}

void transpose(Call& c) {
  Attributes a;
  a.axes = c.integer_list("perm");
  c.give(c.add(Kind::transpose, a, {c.value(0)}), 0, c.boolean(0));
}

void concat(Call& c) {
  Attributes a;
  if (!c.require(c.has_attribute("axis"), "the attribute 'axis' is missing")) return;
  a.axis = c.integer("axis", 0);
  std::vector<ValueId> inputs;
  for (std::size_t i = 0; i < c.count(); ++i) inputs.push_back(c.value(i));
  c.give(c.add(Kind::concat, a, std::move(inputs)), 0, c.boolean(0));
}

void expand(Call& c) { c.give(c.expand(c.value(0), dimensions(c, c.extents(1))), 0, c.boolean(0)); }

/// Copies side by side: each axis gets one of copies in front, which then become one with it.
void tile(Call& c) {
  const Shape& x = c.shape(0);
  const auto repeats = c.integers(1);
  if (!c.require(repeats.size() == x.rank(), "{} repeats of {}", repeats.size(), x.text())) return;
  std::vector<std::int64_t> apart, copied, together;
  for (std::size_t i = 0; i < x.rank(); ++i) {
    if (!c.require(repeats[i] >= 0 && repeats[i] <= Call::kFar, "a repeat of {}", repeats[i])) return;
    const bool copies = repeats[i] != 1;
    if (copies) apart.push_back(1);
    if (copies) copied.push_back(repeats[i]);
    apart.push_back(x[i]);
    copied.push_back(x[i]);
    std::int64_t whole = 0;
    if (!c.require(!__builtin_mul_overflow(repeats[i], x[i], &whole), "too many repeats")) return;
    together.push_back(whole);
  }
  c.give(c.reshape(c.expand(c.reshape(c.value(0), apart), copied), together), 0, c.boolean(0));
}

void split(Call& c) {
  const Shape& x = c.shape(0);
  const std::int64_t axis = c.axis(c.integer("axis", 0), x.rank());
  std::vector<std::int64_t> sizes;
  if (c.version() < 13)
    sizes = c.integer_list("split");
  else if (c.has(1))
    sizes = c.integers(1);
  const auto parts = static_cast<std::int64_t>(c.results());
  c.integer("num_outputs", parts, parts, parts);
  if (!c.ok()) return;
  const std::int64_t extent = x[static_cast<std::size_t>(axis)];
  if (!c.require(extent >= 0, "along the batch of {}", x.text())) return;
  if (sizes.empty()) {
    const std::int64_t each = (extent + parts - 1) / parts;
    for (std::int64_t i = 0; i < parts; ++i)
      sizes.push_back(std::clamp<std::int64_t>(extent - i * each, 0, each));
  }
  std::int64_t sum = 0;
  for (const std::int64_t size : sizes)
    if (!c.require(size >= 0 && !__builtin_add_overflow(sum, size, &sum), "a part of {}", size)) return;
  if (!c.require(static_cast<std::int64_t>(sizes.size()) == parts && sum == extent,
                 "{} of {} into {} parts that sum to {}", extent, x.text(), sizes.size(), sum))
    return;
  const ValueId all = c.value(0);
  std::int64_t at = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    c.give(c.slice(all, axis, at, at + sizes[i]), i, c.boolean(0));
    at += sizes[i];
  }
}

/// Bounds so far away that they mean the end are brought near, so that no sum of them overflows.
std::int64_t near(std::int64_t bound) { return std::clamp(bound, -Call::kFar, Call::kFar); }

void slice(Call& c) {
  const Shape& x = c.shape(0);
  Attributes a;
  std::vector<Extent> ends;
  if (c.version() < 10) {
    a.starts = c.integer_list("starts");
    for (const std::int64_t end : c.integer_list("ends")) ends.push_back({end, false});
    a.axes = c.integer_list("axes");
  } else {
    a.starts = c.integers(1);
    ends = c.extents(2);
    if (c.has(3)) a.axes = c.integers(3);
    if (c.has(4)) a.steps = c.integers(4);
  }
  if (!c.require(a.starts.size() == ends.size() && (a.axes.empty() || a.axes.size() == ends.size()) &&
                     (a.steps.empty() || a.steps.size() == ends.size()),
                 "names {} starts, {} ends, {} axes and {} steps", a.starts.size(), ends.size(),
                 a.axes.size(), a.steps.size()))
    return;
  Attributes cut;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const std::int64_t axis = c.axis(a.axes.empty() ? static_cast<std::int64_t>(i) : a.axes[i], x.rank());
    const std::int64_t step = a.steps.empty() ? 1 : a.steps[i];
    if (!c.ok()) return;
    const std::int64_t extent = x[static_cast<std::size_t>(axis)];
    const bool all = a.starts[i] == 0 && step == 1 &&
                     (ends[i] == of_dimension(extent) || (!ends[i].batch && ends[i].count >= Call::kFar - 1));
    if (extent < 0 && all) continue;  // the whole batch
    if (!c.require(!ends[i].batch, "an end that depends on the batch for {}", x.text())) return;
    cut.axes.push_back(axis);
    cut.starts.push_back(near(a.starts[i]));
    cut.ends.push_back(near(ends[i].count));
    cut.steps.push_back(near(step));
  }
  if (cut.axes.empty()) return c.pass(0);
  c.give(c.add(Kind::slice, cut, {c.value(0)}), 0, c.boolean(0));
}

void pad(Call& c) {
  const std::size_t rank = c.shape(0).rank();
  Attributes a;
  const std::string mode = c.word("mode", "constant");
  if (!c.require(mode == "constant" || mode == "reflect" || mode == "edge",
                 "mode is '{}'; constant, reflect and edge are supported", shown(mode)))
    return;
  a.pad_mode = mode == "constant" ? ops::PadMode::constant
               : mode == "edge"   ? ops::PadMode::edge
                                  : ops::PadMode::reflect;
  const auto pads = c.version() < 11 ? c.integer_list("pads") : c.integers(1);
  if (c.version() < 11) {
    a.alpha = c.number("value", 0);
  } else if (c.has(2)) {
    const auto value = c.numbers(2);
    if (!c.require(value.size() == 1, "the value has to be one number")) return;
    a.alpha = value[0];
  }
  std::vector<std::int64_t> axes(rank);
  std::iota(axes.begin(), axes.end(), 0);
  if (c.has(3)) axes = c.integers(3);
  if (!c.require(pads.size() == 2 * axes.size(), "{} pads for {} axes", pads.size(), axes.size())) return;
  a.starts.assign(rank, 0);
  a.ends.assign(rank, 0);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<std::size_t>(c.axis(axes[i], rank));
    if (!c.ok()) return;
    a.starts[axis] = near(pads[i]);
    a.ends[axis] = near(pads[axes.size() + i]);
  }
  if (std::ranges::all_of(a.starts, [](auto n) { return n == 0; }) &&
      std::ranges::all_of(a.ends, [](auto n) { return n == 0; }))
    return c.pass(0);
  c.give(c.add(Kind::pad, a, {c.value(0)}), 0, c.boolean(0));
}

/// Pads or cuts around the centre to `shape` along `axes`.
void center_crop_pad(Call& c) {
  const Shape& x = c.shape(0);
  const auto shape = c.integers(1);
  auto axes = c.integer_list("axes");
  if (axes.empty())
    for (std::size_t i = 0; i < x.rank(); ++i) axes.push_back(static_cast<std::int64_t>(i));
  if (!c.require(axes.size() == shape.size(), "{} extents for {} axes", shape.size(), axes.size())) return;
  Attributes a;
  a.starts.assign(x.rank(), 0);
  a.ends.assign(x.rank(), 0);
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<std::size_t>(c.axis(axes[i], x.rank()));
    if (!c.require(x.rank() > axis && x[axis] >= 0 && shape[i] >= 0, "{} to an extent of {}", x.text(),
                   shape[i]))
      return;
    const std::int64_t added = near(shape[i]) - x[axis], less = std::abs(added) / 2,
                       more = std::abs(added) - less;
    a.starts[axis] = added < 0 ? -less : less;
    a.ends[axis] = added < 0 ? -more : more;
  }
  c.give(c.add(Kind::pad, a, {c.value(0)}), 0, c.boolean(0));
}

struct Blocks {
  std::int64_t n = 0, c = 0, h = 0, w = 0, size = 0;
};

Blocks blocks_of(Call& c) {
  const std::int64_t size = c.integer("blocksize", 0, 1);
  const Shape& x = c.shape(0);
  if (!c.require(x.rank() == 4 && size >= 1 && x[1] >= 0 && x[2] >= 0 && x[3] >= 0,
                 "of {}; it needs an image and a blocksize", x.text()))
    return {};
  return {x[0], x[1], x[2], x[3], size};
}

bool by_columns(Call& c) {
  const std::string mode = c.word("mode", "DCR");
  c.require(mode == "DCR" || mode == "CRD", "mode is '{}'", shown(mode));
  return mode == "CRD";
}

void depth_to_space(Call& c) {
  const bool columns = by_columns(c);
  const Blocks b = blocks_of(c);
  const std::int64_t s = b.size;
  if (!c.require(c.ok() && s <= 4096 && b.c % (s * s) == 0, "blocks of {} of {}", s, c.shape(0).text()))
    return;
  const std::int64_t depth = b.c / (s * s);
  ValueId x = columns ? c.reshape(c.value(0), {b.n, depth, s, s, b.h, b.w})
                      : c.reshape(c.value(0), {b.n, s, s, depth, b.h, b.w});
  x = c.transpose(
      x, columns ? std::vector<std::int64_t>{0, 1, 4, 2, 5, 3} : std::vector<std::int64_t>{0, 3, 4, 1, 5, 2});
  c.give(c.reshape(x, {b.n, depth, b.h * s, b.w * s}));
}

void space_to_depth(Call& c) {
  const bool columns = by_columns(c);
  const Blocks b = blocks_of(c);
  const std::int64_t s = b.size;
  if (!c.require(c.ok() && s <= 4096 && b.h % s == 0 && b.w % s == 0, "blocks of {} of {}", s,
                 c.shape(0).text()))
    return;
  ValueId x = c.reshape(c.value(0), {b.n, b.c, b.h / s, s, b.w / s, s});
  x = c.transpose(
      x, columns ? std::vector<std::int64_t>{0, 1, 3, 5, 2, 4} : std::vector<std::int64_t>{0, 3, 5, 1, 2, 4});
  c.give(c.reshape(x, {b.n, b.c * s * s, b.h / s, b.w / s}));
}

constexpr Operator operators[] = {
    {"Reshape", 5, reshape},
    {"Flatten", 1, flatten},
    {"Squeeze", 1, squeeze},
    {"Unsqueeze", 1, unsqueeze},
    {"Transpose", 1, transpose},
    {"Concat", 4, concat},
    {"Expand", 8, expand},
    {"Tile", 6, tile},
    {"Split", 2, split},
    {"Slice", 1, slice},
    {"Pad", 2, pad},
    {"CenterCropPad", 18, center_crop_pad},
    {"DepthToSpace", 1, depth_to_space},
    {"SpaceToDepth", 1, space_to_depth},
};

}  // namespace

std::span<const Operator> movement_operators() { return operators; }

}  // namespace trainyard::graph::onnx_file
