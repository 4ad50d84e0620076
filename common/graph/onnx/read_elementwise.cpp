// Arithmetic, comparisons, logic, casts: one element of the result from one of each operand.
#include <algorithm>
#include <limits>

#include "common/graph/onnx/operators.hpp"

namespace trainyard::graph::onnx_file {
namespace {

/// Largest extent against all others: is it a vector that lies along one axis?
bool is_vector(const Shape& shape) {
  std::size_t wide = 0;
  for (const std::int64_t dim : shape.dims()) wide += dim != 1 ? 1 : 0;
  return wide <= 1;
}

/// A known tensor beside something that is learned is a bias or a scale; masks and plain numbers are not.
/// What an input is shifted and scaled by before anything is learned belongs to the data, but for a matrix
/// that it is multiplied by.
ValueId beside(Call& c, std::size_t index, ValueId other, bool multiplies) {
  if (!c.known(index) || c.literal(index) || !c.real(index) || !c.ok() || c.shape(index).elements() < 2)
    return c.value(index);
  if (!c.learned(other) && !(multiplies && !is_vector(c.shape(index)))) return c.value(index);
  constexpr float mask_least = 1e4f;  // what masks add to scores is beyond
  const auto constant = c.constant(index);
  if (!constant) return kAbsent;
  const auto* const values = reinterpret_cast<const float*>(constant->bytes.data());
  for (std::int64_t i = 0; i < constant->of.shape.elements(); ++i)
    if (!(std::abs(values[i]) < mask_least)) return c.value(index);
  return c.weight(index, is_vector(c.shape(index)) ? TensorKind::bias : TensorKind::weight);
}

struct Pair {
  ValueId a = kAbsent, b = kAbsent;
};

Pair operands(Call& c, bool weights, bool multiplies) {
  if (!weights || c.known(0) == c.known(1)) {
    const ValueId a = c.value(0);
    return {a, c.value(1)};
  }
  if (c.known(0)) {
    const ValueId b = c.value(1);
    return {beside(c, 0, b, multiplies), b};
  }
  const ValueId a = c.value(0);
  return {a, beside(c, 1, a, multiplies)};
}

template <Arithmetic arithmetic, bool weights = false>
void binary(Call& c) {
  const Pair pair = operands(c, weights, arithmetic == Arithmetic::multiply);
  c.give(c.binary(arithmetic, pair.a, pair.b), 0, ops::is_comparison(arithmetic));
}

void power(Call& c) {
  const DType base = c.type(0), exponent = c.type(1);
  const ValueId a = c.value(0), b = c.value(1);
  if (base == exponent) return c.give(c.binary(Arithmetic::power, a, b));
  const DType common = tensor::is_real(base) || tensor::is_real(exponent) ? DType::f32 : DType::i64;
  c.give(c.cast(c.binary(Arithmetic::power, c.cast(a, common), c.cast(b, common)), base));
}

void modulo(Call& c) {
  const bool truncated = c.flag("fmod", false);
  const ValueId a = c.value(0);
  c.give(c.binary(truncated ? Arithmetic::f_modulo : Arithmetic::modulo, a, c.value(1)));
}

/// Max, Min, Sum, Mean of any number of operands.
template <Arithmetic arithmetic, bool mean = false>
void many(Call& c) {
  ValueId all = c.value(0);
  for (std::size_t i = 1; i < c.count(); ++i)
    all = c.binary(arithmetic, all,
                   arithmetic == Arithmetic::add && !mean ? beside(c, i, all, false) : c.value(i));
  if (mean) all = c.binary(Arithmetic::divide, all, c.scalar(static_cast<double>(c.count()), c.type(0)));
  c.give(all);
}

void where(Call& c) {
  const ValueId condition = c.value(0), a = c.value(1);
  c.give(c.add(Kind::where, {}, {condition, a, c.value(2)}), 0, c.boolean(1));
}

template <Function function>
void logic(Call& c) {
  c.give(c.unary(function, c.value(0)), 0, true);
}

void is_inf(Call& c) {
  const bool negative = c.flag("detect_negative", true), positive = c.flag("detect_positive", true);
  const ValueId x = c.value(0);
  if (negative && positive) return c.give(c.unary(Function::is_inf, x), 0, true);
  const double infinity = std::numeric_limits<double>::infinity();
  if (!negative && !positive) {
    // Nothing is: x differs from itself only where it is no number, and there it is not infinite.
    const ValueId no = c.binary(Arithmetic::less, x, x);
    return c.give(no, 0, true);
  }
  c.give(c.binary(Arithmetic::equal, x, c.scalar(positive ? infinity : -infinity)), 0, true);
}

/// A value as another type of the file's.
void cast_to(Call& c, std::int32_t onnx_type) {
  const auto to = element_type(onnx_type);
  if (!to) return c.fail(to.error());
  if (!c.require(!to->bfloat16, "values of bfloat16 are not computed with")) return;
  if (to->boolean == c.boolean(0) && to->type == c.type(0)) return c.pass(0);
  const ValueId x = c.value(0);
  if (!to->boolean) {
    // Bytes that are 0 or 1 already are what a uint8 would be.
    return c.give(c.cast(x, to->type));
  }
  const ValueId zero = c.binary(Arithmetic::equal, x, c.scalar(0, c.type(0)));
  c.give(c.unary(Function::logical_not, zero), 0, true);
}

void cast(Call& c) {
  c.ignore("saturate");    // speaks of float8 alone
  c.ignore("round_mode");  // likewise
  if (c.require(c.has_attribute("to"), "the attribute 'to' is missing"))
    cast_to(c, static_cast<std::int32_t>(c.integer("to", 0)));
}

void cast_like(Call& c) {
  c.ignore("saturate");
  c.ignore("round_mode");
  if (!c.require(c.has(1), "input 1 is missing")) return;
  const DType to = c.type(1);
  const auto same = [&](DType type, std::int32_t onnx_type) {
    if (to == type) cast_to(c, onnx_type);
  };
  if (c.boolean(1)) return cast_to(c, onnx::TensorProto::BOOL);
  if (c.bfloat16(1)) return cast_to(c, onnx::TensorProto::BFLOAT16);
  same(DType::f32, onnx::TensorProto::FLOAT);
  same(DType::i32, onnx::TensorProto::INT32);
  same(DType::i64, onnx::TensorProto::INT64);
  same(DType::u8, onnx::TensorProto::UINT8);
}

constexpr Operator operators[] = {
    {"Add", 7, binary<Arithmetic::add, true>},
    {"Sub", 7, binary<Arithmetic::subtract>},
    {"Mul", 7, binary<Arithmetic::multiply, true>},
    {"Div", 7, binary<Arithmetic::divide>},
    {"Pow", 7, power},
    {"Mod", 10, modulo},
    {"Max", 6, many<Arithmetic::maximum>},
    {"Min", 6, many<Arithmetic::minimum>},
    {"Sum", 6, many<Arithmetic::add>},
    {"Mean", 6, many<Arithmetic::add, true>},
    {"Equal", 7, binary<Arithmetic::equal>},
    {"Less", 7, binary<Arithmetic::less>},
    {"LessOrEqual", 12, binary<Arithmetic::less_equal>},
    {"Greater", 7, binary<Arithmetic::greater>},
    {"GreaterOrEqual", 12, binary<Arithmetic::greater_equal>},
    {"And", 7, binary<Arithmetic::logical_and>},
    {"Or", 7, binary<Arithmetic::logical_or>},
    {"Xor", 7, binary<Arithmetic::logical_xor>},
    {"Not", 1, logic<Function::logical_not>},
    {"IsNaN", 9, logic<Function::is_nan>},
    {"IsInf", 10, is_inf},
    {"Where", 9, where},
    {"Cast", 6, cast},
    {"CastLike", 15, cast_like},
};

}  // namespace

std::span<const Operator> elementwise_operators() { return operators; }

}  // namespace trainyard::graph::onnx_file
