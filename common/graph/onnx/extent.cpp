#include "common/graph/onnx/extent.hpp"

#include <algorithm>
#include <cstring>

namespace trainyard::graph::onnx_file {

std::string text(const Extent& extent) {
  if (!extent.batch) return std::to_string(extent.count);
  return extent.count == 1 ? "N" : std::to_string(extent.count) + "N";
}

std::optional<std::int64_t> dimension(const Extent& extent) {
  if (extent.count < 0 || (extent.batch && extent.count == 0)) return std::nullopt;
  return extent.batch ? -extent.count : extent.count;
}

Extent of_dimension(std::int64_t dim) { return dim < 0 ? Extent{-dim, true} : Extent{dim, false}; }

namespace {

std::optional<Extent> sum(Extent a, Extent b, bool subtract) {
  std::int64_t count = 0;
  if (subtract ? __builtin_sub_overflow(a.count, b.count, &count)
               : __builtin_add_overflow(a.count, b.count, &count))
    return std::nullopt;
  if (a.batch == b.batch) return Extent{count, a.batch && count != 0};
  if (b.count == 0) return a;
  if (a.count == 0) return subtract ? Extent{-b.count, b.batch} : b;
  return std::nullopt;
}

std::optional<Extent> product(Extent a, Extent b) {
  std::int64_t count = 0;
  if (__builtin_mul_overflow(a.count, b.count, &count)) return std::nullopt;
  if (a.batch && b.batch) return std::nullopt;
  return Extent{count, (a.batch || b.batch) && count != 0};
}

std::optional<Extent> quotient(Extent a, Extent b) {
  if (b.count == 0 || (a.count == INT64_MIN && b.count == -1)) return std::nullopt;
  if (a.batch == b.batch) return Extent{a.count / b.count, false};
  if (a.batch && a.count % b.count == 0) return Extent{a.count / b.count, true};
  return a.count == 0 ? std::optional(a) : std::nullopt;
}

/// Of the sign of the divisor, as ONNX's Mod.
std::optional<Extent> remainder(Extent a, Extent b) {
  if (b.count == 0 || b.count == -1) return b.count == 0 ? std::nullopt : std::optional(Extent{});
  if (a.batch || b.batch) {
    const bool whole = a.batch && a.count % b.count == 0;
    return whole ? std::optional(Extent{}) : std::nullopt;
  }
  const std::int64_t rest = a.count % b.count;
  return Extent{rest != 0 && (rest < 0) != (b.count < 0) ? rest + b.count : rest, false};
}

/// Is a < b, whatever the batch?
std::optional<bool> below(Extent a, Extent b) {
  if (a.batch == b.batch) return a.count < b.count;
  // k * N against c, for N >= 1: decided when c lies on the other side of k, or of 0.
  const std::int64_t k = a.batch ? a.count : b.count, c = a.batch ? b.count : a.count;
  if (k > 0 && c < k) return !a.batch;
  if (k < 0 && c > k) return a.batch;
  if (k > 0 && c == k) return a.batch ? std::optional(false) : std::nullopt;
  if (k < 0 && c == k) return a.batch ? std::nullopt : std::optional(false);
  return std::nullopt;
}

std::optional<bool> same(Extent a, Extent b) {
  if (a.batch == b.batch) return a.count == b.count;
  if (below(a, b).value_or(false) || below(b, a).value_or(false)) return false;
  return std::nullopt;
}

}  // namespace

std::optional<Extent> combine(Whole operation, Extent a, Extent b) {
  const auto truth = [](std::optional<bool> value) {
    return value ? std::optional(Extent{*value ? 1 : 0, false}) : std::nullopt;
  };
  switch (operation) {
    case Whole::add:
      return sum(a, b, false);
    case Whole::subtract:
      return sum(a, b, true);
    case Whole::multiply:
      return product(a, b);
    case Whole::divide:
      return quotient(a, b);
    case Whole::modulo:
      return remainder(a, b);
    case Whole::minimum:
    case Whole::maximum: {
      if (a == b) return a;
      const auto less = below(a, b), more = below(b, a);
      if (!less && !more) return std::nullopt;
      const bool first_is_less = less ? *less : !*more;
      return first_is_less == (operation == Whole::minimum) ? a : b;
    }
    case Whole::equal:
      return truth(same(a, b));
    case Whole::less:
      return truth(below(a, b));
  }
  return std::nullopt;
}

bool Extents::closed() const {
  return std::none_of(values.begin(), values.end(), [](const Extent& extent) { return extent.batch; });
}

namespace {

template <typename T>
void widen(const Constant& constant, std::vector<Extent>& out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, constant.bytes.data() + i * sizeof(T), sizeof(T));
    out[i].count = static_cast<std::int64_t>(value);
  }
}

template <typename T>
void narrow(const Extents& extents, std::vector<std::byte>& out) {
  out.resize(extents.values.size() * sizeof(T));
  for (std::size_t i = 0; i < extents.values.size(); ++i) {
    const T value = static_cast<T>(extents.values[i].count);
    std::memcpy(out.data() + i * sizeof(T), &value, sizeof(T));
  }
}

}  // namespace

std::optional<Extents> extents_of(const Constant& constant, bool boolean) {
  const std::int64_t count = constant.of.shape.elements();
  if (tensor::is_real(constant.of.type) || count > static_cast<std::int64_t>(kExtentsMax))
    return std::nullopt;
  Extents out{constant.of.shape.dims(), std::vector<Extent>(static_cast<std::size_t>(count)),
              constant.of.type, boolean};
  if (constant.of.type == DType::i64) widen<std::int64_t>(constant, out.values);
  if (constant.of.type == DType::i32) widen<std::int32_t>(constant, out.values);
  if (constant.of.type == DType::u8) widen<std::uint8_t>(constant, out.values);
  return out;
}

Constant constant_of(const Extents& extents) {
  Constant out{Signature(Shape(extents.dims), extents.type), {}};
  if (extents.type == DType::i64) narrow<std::int64_t>(extents, out.bytes);
  if (extents.type == DType::i32) narrow<std::int32_t>(extents, out.bytes);
  if (extents.type == DType::u8) narrow<std::uint8_t>(extents, out.bytes);
  return out;
}

}  // namespace trainyard::graph::onnx_file
