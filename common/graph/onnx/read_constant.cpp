// Values that depend on attributes and shapes alone.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/graph/onnx/operators.hpp"

namespace trainyard::graph::onnx_file {
namespace {

constexpr std::int64_t elements_max = std::int64_t{1} << 26;

template <typename T>
Constant list(DType type, const std::vector<T>& values, std::vector<std::int64_t> dims) {
  Constant out{Signature(Shape(std::move(dims)), type), std::vector<std::byte>(values.size() * sizeof(T))};
  if (!values.empty()) std::memcpy(out.bytes.data(), values.data(), out.bytes.size());
  return out;
}

void constant(Call& c) {
  bool boolean = false;
  if (auto value = c.tensor("value", boolean)) return c.give(std::move(*value), 0, boolean);
  if (!c.ok()) return;
  const auto reals = [&](const std::vector<double>& from, std::vector<std::int64_t> dims) {
    c.give(list(DType::f32, std::vector<float>(from.begin(), from.end()), std::move(dims)));
  };
  if (c.has_attribute("value_float")) return reals({c.number("value_float", 0)}, {});
  if (c.has_attribute("value_int")) {
    const std::int64_t value = c.integer("value_int", 0, INT64_MIN, INT64_MAX);
    return c.give(list(DType::i64, std::vector<std::int64_t>{value}, {}));
  }
  if (c.has_attribute("value_floats")) {
    const auto values = c.number_list("value_floats");
    return reals(values, {static_cast<std::int64_t>(values.size())});
  }
  if (c.has_attribute("value_ints")) {
    const auto values = c.integer_list("value_ints");
    return c.give(list(DType::i64, values, {static_cast<std::int64_t>(values.size())}));
  }
  c.require(false, "its value is of no supported type");
}

void constant_of_shape(Call& c) {
  bool boolean = false;
  auto value = c.tensor("value", boolean);
  if (!value) value = list(DType::f32, std::vector<float>{0}, {1});
  std::vector<std::int64_t> dims;
  for (const Extent& extent : c.extents(0)) {
    const auto dim = dimension(extent);
    if (!c.require(dim.has_value(), "an extent of {}", text(extent))) return;
    dims.push_back(*dim);
  }
  if (!c.require(value->of.shape.elements() == 1, "its value has to be one number")) return;
  const Constant one{Signature(Shape{}, value->of.type), std::move(value->bytes)};
  if (auto ok = check_extents(dims); !ok) return c.fail(ok.error());
  const bool open = Shape(dims).open();
  if (!open && Shape(dims).elements() <= elements_max) {
    Constant all{Signature(Shape(dims), one.of.type), {}};
    for (std::int64_t i = 0; i < all.of.shape.elements(); ++i)
      all.bytes.insert(all.bytes.end(), one.bytes.begin(), one.bytes.end());
    return c.give(std::move(all), 0, boolean);
  }
  c.give(c.expand(c.constant_value(one), dims), 0, boolean);
}

/// start, start + delta, ... below the limit.
void range(Call& c) {
  c.ignore("stash_type");  // of short reals
  const DType type = c.type(0);
  const auto start = c.numbers(0), limit = c.numbers(1), delta = c.numbers(2);
  if (!c.require(start.size() == 1 && limit.size() == 1 && delta.size() == 1 && delta[0] != 0,
                 "needs a start, a limit and a step that is not 0"))
    return;
  const double count = std::max(0.0, std::ceil((limit[0] - start[0]) / delta[0]));
  if (!c.require(count <= static_cast<double>(elements_max), "of {} numbers", count)) return;
  const auto dims = std::vector<std::int64_t>{static_cast<std::int64_t>(count)};
  if (tensor::is_real(type)) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < dims[0]; ++i)
      values.push_back(static_cast<float>(start[0] + static_cast<double>(i) * delta[0]));
    return c.give(list(DType::f32, values, dims));
  }
  Extents values{dims, {}, type, false};
  for (std::int64_t i = 0; i < dims[0]; ++i)
    values.values.push_back(
        {static_cast<std::int64_t>(start[0]) + i * static_cast<std::int64_t>(delta[0]), false});
  c.give(constant_of(values));
}

void eye_like(Call& c) {
  const std::int64_t k = c.integer("k", 0);
  auto to = ElementType{c.type(0), c.boolean(0)};
  if (c.has_attribute("dtype")) {
    const auto told = element_type(static_cast<std::int32_t>(c.integer("dtype", 0)));
    if (!told) return c.fail(told.error());
    to = *told;
  }
  const Shape& x = c.shape(0);
  if (!c.require(x.rank() == 2 && !x.open() && x.elements() <= elements_max, "of {}", x.text())) return;
  Constant eye{Signature(x, DType::u8), std::vector<std::byte>(static_cast<std::size_t>(x.elements()))};
  for (std::int64_t r = 0; r < x[0]; ++r)
    if (r + k >= 0 && r + k < x[1]) eye.bytes[static_cast<std::size_t>(r * x[1] + r + k)] = std::byte{1};
  if (to.type == DType::u8) return c.give(std::move(eye), 0, to.boolean);
  c.give(c.cast(c.constant_value(std::move(eye)), to.type));
}

/// The places of what is not 0, one column each; of known values only, since their number is a shape.
void non_zero(Call& c) {
  const Shape shape = c.shape(0);
  const auto values = c.numbers(0);
  if (!c.ok()) return;
  std::vector<std::vector<std::int64_t>> places(shape.rank());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] == 0) continue;
    auto rest = static_cast<std::int64_t>(i);
    for (std::size_t axis = shape.rank(); axis-- > 0;) {
      places[axis].push_back(rest % shape[axis]);
      rest /= shape[axis];
    }
  }
  std::vector<std::int64_t> all;
  const auto count = places.empty() ? 0 : static_cast<std::int64_t>(places[0].size());
  for (const auto& row : places) all.insert(all.end(), row.begin(), row.end());
  c.give(list(DType::i64, all, {static_cast<std::int64_t>(shape.rank()), count}));
}

/// Sizes are read by evaluate().
void shape_alone(Call& c) { c.require(false, "its sizes cannot be told"); }

constexpr Operator operators[] = {
    {"Constant", 1, constant}, {"ConstantOfShape", 9, constant_of_shape},
    {"Range", 11, range},      {"EyeLike", 9, eye_like},
    {"NonZero", 9, non_zero},  {"Shape", 1, shape_alone},
    {"Size", 1, shape_alone},
};

}  // namespace

std::span<const Operator> constant_operators() { return operators; }

}  // namespace trainyard::graph::onnx_file
