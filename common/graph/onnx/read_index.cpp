// Operators that look elements up by index.
#include <algorithm>
#include <cstring>

#include "common/graph/onnx/operators.hpp"

namespace trainyard::graph::onnx_file {
namespace {

template <typename T>
bool all_inside(const Constant& index, const std::vector<std::int64_t>& extents) {
  for (std::size_t i = 0; i * sizeof(T) < index.bytes.size(); ++i) {
    T at;
    std::memcpy(&at, index.bytes.data() + i * sizeof(T), sizeof(T));
    const std::int64_t extent = extents[i % extents.size()];
    if (at < -extent || at >= extent) return false;
  }
  return true;
}

/// A known index has to be inside; `extents` belong to its last axis one by one, or are all the same.
bool inside(Call& c, std::size_t index, const std::vector<std::int64_t>& extents) {
  if (!c.ok() || !c.known(index)) return c.ok();
  const auto constant = c.constant(index);
  if (!c.require(constant && (c.type(index) == DType::i32 || c.type(index) == DType::i64),
                 "needs an index of int32 or int64"))
    return false;
  const bool fits = c.type(index) == DType::i64 ? all_inside<std::int64_t>(*constant, extents)
                                                : all_inside<std::int32_t>(*constant, extents);
  return c.require(fits, "an index outside of {}", c.shape(0).text());
}

/// The same along one axis.
bool inside_axis(Call& c, std::size_t index, std::int64_t axis) {
  const std::int64_t at = c.axis(axis, c.shape(0).rank());
  if (!c.ok()) return false;
  const std::int64_t extent = c.shape(0)[static_cast<std::size_t>(at)];
  return c.require(extent >= 0, "looks along the batch of {}", c.shape(0).text()) &&
         inside(c, index, {extent});
}

void gather(Call& c) {
  Attributes a;
  a.axis = c.integer("axis", 0);
  if (!inside_axis(c, 1, a.axis)) return;
  // A table whose rows are looked up is an embedding.
  const ValueId x =
      c.known(0) && !c.literal(0) && !c.known(1) && c.shape(0).rank() >= 2 ? c.weight(0) : c.value(0);
  c.give(c.add(Kind::gather, a, {x, c.value(1)}), 0, c.boolean(0));
}

void gather_elements(Call& c) {
  Attributes a;
  a.axis = c.integer("axis", 0);
  if (!inside_axis(c, 1, a.axis)) return;
  const ValueId x = c.value(0);
  c.give(c.add(Kind::gather_elements, a, {x, c.value(1)}), 0, c.boolean(0));
}

/// What a scatter does with a value that is there: replaces it, or adds to it.
bool adds(Call& c) {
  const std::string reduction = c.word("reduction", "none");
  c.require(reduction == "none" || reduction == "add", "reduction is '{}'; none and add are supported",
            shown(reduction));
  return reduction == "add";
}

void scatter_elements(Call& c) {
  Attributes a;
  a.axis = c.integer("axis", 0);
  a.accumulate = adds(c);
  if (!inside_axis(c, 1, a.axis)) return;
  const ValueId x = c.value(0), index = c.value(1);
  c.give(c.add(Kind::scatter_elements, a, {x, index, c.value(2)}), 0, c.boolean(0));
}

/// Indices of several axes as one into these axes laid out row by row: [..., K] gives [...].
ValueId flat_index(Call& c, ValueId index, const std::vector<std::int64_t>& extents) {
  const DType type = c.type_of(index);
  std::vector<std::int64_t> strides(extents.size(), 1);
  for (std::size_t i = extents.size(); i-- > 1;) strides[i - 1] = strides[i] * extents[i];
  const auto count = static_cast<std::int64_t>(extents.size());
  const ValueId below = c.binary(Arithmetic::less, index, c.scalar(0, type));
  const ValueId shifted = c.binary(Arithmetic::add, index, c.whole(extents, type, {count}));
  const ValueId inside = c.add(Kind::where, {}, {below, shifted, index});
  const ValueId scaled = c.binary(Arithmetic::multiply, inside, c.whole(strides, type, {count}));
  Attributes sum;
  sum.axes = {-1};
  sum.keep_dims = false;
  return c.add(Kind::reduce, sum, {scaled});
}

/// The shape of x cut behind its first `count` axes, which have to be closed.
bool leading(Call& c, std::size_t first, std::size_t count, std::vector<std::int64_t>& extents) {
  const Shape& x = c.shape(0);
  for (std::size_t i = first; i < first + count; ++i) {
    if (!c.require(i < x.rank() && x[i] >= 0, "looks along the batch of {}", x.text())) return false;
    extents.push_back(x[i]);
  }
  return c.ok();
}

void gather_nd(Call& c) {
  const std::int64_t shared = c.integer("batch_dims", 0, 0, 16);
  const Shape &x = c.shape(0), &index = c.shape(1);
  const auto batch = static_cast<std::size_t>(shared);
  if (!c.require(index.rank() > batch && index[index.rank() - 1] >= 1, "by an index {}", index.text()))
    return;
  const auto depth = static_cast<std::size_t>(index[index.rank() - 1]);
  std::vector<std::int64_t> extents;
  if (!c.require(batch + depth <= x.rank(), "{} by an index {}", x.text(), index.text()) ||
      !leading(c, batch, depth, extents) || !inside(c, 1, extents))
    return;
  const std::vector<std::int64_t> tail(x.dims().begin() + static_cast<std::ptrdiff_t>(batch + depth),
                                       x.dims().end());
  ValueId flat = flat_index(c, c.value(1), extents);
  std::vector<std::int64_t> rows{Shape(extents).volume()};
  if (batch > 0) {
    // The shared axes become one; each of its members has its own rows.
    const std::int64_t members = x.volume(0, batch), each = rows[0];
    if (!c.require(members >= 0, "with batch_dims over the batch of {}", x.text())) return;
    std::vector<std::int64_t> starts(static_cast<std::size_t>(members));
    for (std::size_t i = 0; i < starts.size(); ++i) starts[i] = static_cast<std::int64_t>(i) * each;
    const std::vector<std::int64_t> dims = c.shape_of(flat).dims();
    const ValueId grouped = c.reshape(flat, {members, Shape(dims).volume(batch)});
    const ValueId moved = c.binary(Arithmetic::add, grouped, c.whole(starts, c.type(1), {members, 1}));
    flat = c.reshape(moved, dims);
    rows[0] *= members;
  }
  std::vector<std::int64_t> table = rows;
  table.insert(table.end(), tail.begin(), tail.end());
  Attributes a;
  a.axis = 0;
  c.give(c.add(Kind::gather, a, {c.reshape(c.value(0), table), flat}), 0, c.boolean(0));
}

void scatter_nd(Call& c) {
  Attributes a;
  a.accumulate = adds(c);
  a.axis = 0;
  const Shape &x = c.shape(0), &index = c.shape(1);
  if (!c.require(index.rank() > 0 && index[index.rank() - 1] >= 1, "by an index {}", index.text())) return;
  const auto depth = static_cast<std::size_t>(index[index.rank() - 1]);
  std::vector<std::int64_t> extents;
  if (!c.require(depth <= x.rank(), "{} by an index {}", x.text(), index.text()) ||
      !leading(c, 0, depth, extents) || !inside(c, 1, extents))
    return;
  const std::int64_t rows = Shape(extents).volume(), width = x.volume(depth);
  const std::int64_t count = index.volume(0, index.rank() - 1);
  if (!c.require(count >= 0 && width >= 0, "of {} by an index {}", x.text(), index.text())) return;
  const ValueId flat = c.reshape(flat_index(c, c.value(1), extents), {count, 1});
  const ValueId table = c.reshape(c.value(0), {rows, width}), updates = c.reshape(c.value(2), {count, width});
  const ValueId y = c.add(Kind::scatter_elements, a, {table, c.expand(flat, {count, width}), updates});
  c.give(c.reshape(y, x.dims()), 0, c.boolean(0));
}

void one_hot(Call& c) {
  Attributes a;
  a.axis = c.integer("axis", -1);
  const auto depth = c.numbers(1), values = c.numbers(2);
  if (!c.require(depth.size() == 1 && values.size() == 2 && depth[0] >= 1 && depth[0] < 1 << 30,
                 "needs one depth and two values"))
    return;
  a.size = static_cast<std::int64_t>(depth[0]);
  a.alpha = values[0];
  a.beta = values[1];
  a.type = c.type(2);
  c.give(c.add(Kind::one_hot, a, {c.cast(c.value(0), DType::i64)}), 0, c.boolean(2));
}

/// The upper or lower triangle of the last two axes.
void trilu(Call& c) {
  const bool upper = c.flag("upper", true);
  const Shape& x = c.shape(0);
  std::int64_t k = 0;
  if (c.has(1)) {
    const auto given = c.integers(1);
    if (!c.require(given.size() == 1, "k has to be one number")) return;
    k = given[0];
  }
  constexpr std::int64_t mask_max = std::int64_t{1} << 26;
  const std::size_t rank = x.rank();
  if (!c.require(rank >= 2 && x[rank - 2] >= 0 && x[rank - 1] >= 0 && x.volume(rank - 2) <= mask_max, "of {}",
                 x.text()))
    return;
  const std::int64_t rows = x[rank - 2], columns = x[rank - 1];
  k = std::clamp(k, -rows - columns, rows + columns);
  Constant mask{Signature(Shape{rows, columns}, DType::u8),
                std::vector<std::byte>(static_cast<std::size_t>(rows * columns))};
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t i = 0; i < columns; ++i)
      mask.bytes[static_cast<std::size_t>(r * columns + i)] = std::byte(upper ? i - r >= k : i - r <= k);
  const ValueId keep = c.constant_value(std::move(mask));
  const ValueId value = c.value(0);
  c.give(c.add(Kind::where, {}, {keep, value, c.scalar(0, c.type(0))}), 0, c.boolean(0));
}

constexpr Operator operators[] = {
    {"Gather", 1, gather},
    {"GatherElements", 11, gather_elements},
    {"GatherND", 11, gather_nd},
    {"Scatter", 9, scatter_elements},
    {"ScatterElements", 11, scatter_elements},
    {"ScatterND", 11, scatter_nd},
    {"OneHot", 9, one_hot},
    {"Trilu", 14, trilu},
};

}  // namespace

std::span<const Operator> index_operators() { return operators; }

}  // namespace trainyard::graph::onnx_file
