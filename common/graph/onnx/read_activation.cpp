// Functions of one operand.
#include <cmath>
#include <limits>

#include "common/graph/onnx/operators.hpp"
#include "common/ops/functions.hpp"

namespace trainyard::graph::onnx_file {
namespace {

template <Function function>
void plain(Call& c) {
  const ValueId x = c.value(0);
  if (c.require(c.real(0), "needs real numbers, and gets {}", name_of(c.type(0))))
    c.give(c.unary(function, x));
}

void identity(Call& c) { c.pass(0); }

// Of whole numbers by arithmetic; of reals by the function of that name.
void relu(Call& c) {
  const ValueId x = c.value(0);
  c.give(c.real(0) ? c.unary(Function::relu, x) : c.binary(Arithmetic::maximum, x, c.scalar(0, c.type(0))));
}

void negate(Call& c) {
  const ValueId x = c.value(0);
  c.give(c.real(0) ? c.unary(Function::negate, x)
                   : c.binary(Arithmetic::subtract, c.scalar(0, c.type(0)), x));
}

void absolute(Call& c) {
  if (c.type(0) == DType::u8) return c.pass(0);
  const ValueId x = c.value(0);
  if (c.real(0)) return c.give(c.unary(Function::abs, x));
  c.give(c.binary(Arithmetic::maximum, x, c.binary(Arithmetic::subtract, c.scalar(0, c.type(0)), x)));
}

void sign(Call& c) {
  const ValueId x = c.value(0);
  if (c.real(0)) return c.give(c.unary(Function::sign, x));
  const DType type = c.type(0);
  const ValueId zero = c.scalar(0, type);
  const ValueId above = c.cast(c.binary(Arithmetic::greater, x, zero), type);
  c.give(c.binary(Arithmetic::subtract, above, c.cast(c.binary(Arithmetic::less, x, zero), type)));
}

template <Function function>
void with_alpha(Call& c, double alpha, double beta = 0) {
  const double a = c.number("alpha", alpha);
  c.give(c.unary(function, c.value(0), a, beta));
}

void leaky_relu(Call& c) { with_alpha<Function::leaky_relu>(c, 0.01f); }
void elu(Call& c) { with_alpha<Function::elu>(c, 1); }
void celu(Call& c) { with_alpha<Function::celu>(c, 1); }
void thresholded_relu(Call& c) { with_alpha<Function::thresholded_relu>(c, 1); }

void hard_sigmoid(Call& c) {
  const double beta = c.number("beta", 0.5);
  with_alpha<Function::hard_sigmoid>(c, 0.2f, beta);
}

void selu(Call& c) {
  const double alpha = c.number("alpha", ops::kSeluAlpha), gamma = c.number("gamma", ops::kSeluScale);
  const ValueId x = c.value(0);
  const bool usual = std::abs(alpha - ops::kSeluAlpha) < 1e-6 && std::abs(gamma - ops::kSeluScale) < 1e-6;
  if (usual) return c.give(c.unary(Function::selu, x));
  c.give(c.binary(Arithmetic::multiply, c.unary(Function::elu, x, alpha), c.scalar(gamma)));
}

void shrink(Call& c) {
  const double bias = c.number("bias", 0), lambda = c.number("lambd", 0.5);
  const DType type = c.type(0);
  const ValueId x = c.cast(c.value(0), DType::f32);
  c.give(c.cast(c.unary(Function::shrink, x, lambda, bias), type));
}

void gelu(Call& c) {
  const std::string approximate = c.word("approximate", "none");
  if (!c.require(approximate == "none" || approximate == "tanh",
                 "approximate is '{}'; none and tanh are known", shown(approximate)))
    return;
  c.give(c.unary(approximate == "none" ? Function::gelu : Function::gelu_tanh, c.value(0)));
}

void swish(Call& c) {
  const double alpha = c.number("alpha", 1);
  const ValueId x = c.value(0);
  if (alpha == 1) return c.give(c.unary(Function::silu, x));
  const ValueId gate = c.unary(Function::sigmoid, c.binary(Arithmetic::multiply, x, c.scalar(alpha)));
  c.give(c.binary(Arithmetic::multiply, x, gate));
}

/// max(x, 0) - slope max(-x, 0).
void prelu(Call& c) {
  const ValueId x = c.value(0), slope = c.weight(1, TensorKind::bias);
  if (!c.require(c.real(0), "needs real numbers, and gets {}", name_of(c.type(0)))) return;
  const ValueId below = c.unary(Function::relu, c.unary(Function::negate, x));
  c.give(c.binary(Arithmetic::subtract, c.unary(Function::relu, x),
                  c.binary(Arithmetic::multiply, slope, below)));
}

/// A bound that is absent is one that nothing reaches.
std::optional<double> bound(Call& c, std::size_t index, double absent) {
  if (!c.has(index)) return absent;
  if (!c.known(index)) return std::nullopt;
  const auto values = c.numbers(index);
  if (!c.require(values.size() == 1, "input {} has to be one number", index)) return absent;
  return values[0];
}

void clip(Call& c) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const ValueId x = c.value(0);
  std::optional<double> least, most;
  if (c.version() < 11) {
    least = c.number("min", -infinity);
    most = c.number("max", infinity);
  } else {
    least = bound(c, 1, -infinity);
    most = bound(c, 2, infinity);
  }
  if (!c.ok()) return;
  if (c.real(0) && least && most) {
    if (*least == 0 && *most == infinity) return c.give(c.unary(Function::relu, x));
    if (*least == 0 && *most == 6) return c.give(c.unary(Function::relu6, x));
    return c.give(c.unary(Function::clip, x, *least, *most));
  }
  ValueId y = x;
  if (c.has(1)) y = c.binary(Arithmetic::maximum, y, c.value(1));
  if (c.has(2)) y = c.binary(Arithmetic::minimum, y, c.value(2));
  if (y == x) return c.pass(0);
  c.give(y);
}

void dropout(Call& c) {
  double rate = 0.5;
  c.ignore("seed");  // a job has its own
  if (c.version() < 12) {
    rate = c.number("ratio", 0.5);
  } else if (c.has(1)) {
    const auto ratio = c.numbers(1);
    if (!c.require(ratio.size() == 1, "the ratio has to be one number")) return;
    rate = ratio[0];
  }
  if (c.has(2)) c.require(c.known(2), "training_mode has to be known when the model is read");
  const ValueId x = c.value(0);
  Attributes a;
  a.rate = rate;
  c.give(c.add(Kind::dropout, a, {x}));
  if (!c.wants(1)) return;
  const ValueId yes = c.whole({1}, DType::u8, std::vector<std::int64_t>(c.shape(0).rank(), 1));
  c.give(c.expand(yes, c.shape(0).dims()), 1, true);
}

constexpr Operator operators[] = {
    {"Identity", 1, identity},
    {"Relu", 6, relu},
    {"Neg", 6, negate},
    {"Abs", 6, absolute},
    {"Sign", 9, sign},
    {"LeakyRelu", 6, leaky_relu},
    {"Elu", 6, elu},
    {"Celu", 12, celu},
    {"Selu", 6, selu},
    {"ThresholdedRelu", 10, thresholded_relu},
    {"HardSigmoid", 6, hard_sigmoid},
    {"HardSwish", 14, plain<Function::hard_swish>},
    {"Shrink", 9, shrink},
    {"Gelu", 20, gelu},
    {"Swish", 24, swish},
    {"Mish", 18, plain<Function::mish>},
    {"PRelu", 7, prelu},
    {"Clip", 6, clip},
    {"Dropout", 7, dropout},
    {"Sigmoid", 6, plain<Function::sigmoid>},
    {"Tanh", 6, plain<Function::tanh>},
    {"Softplus", 1, plain<Function::softplus>},
    {"Softsign", 1, plain<Function::softsign>},
    {"Exp", 6, plain<Function::exp>},
    {"Log", 6, plain<Function::log>},
    {"Sqrt", 6, plain<Function::sqrt>},
    {"Reciprocal", 6, plain<Function::reciprocal>},
    {"Floor", 6, plain<Function::floor>},
    {"Ceil", 6, plain<Function::ceil>},
    {"Round", 11, plain<Function::round>},
    {"Erf", 9, plain<Function::erf>},
    {"Sin", 7, plain<Function::sin>},
    {"Cos", 7, plain<Function::cos>},
    {"Tan", 7, plain<Function::tan>},
    {"Asin", 7, plain<Function::asin>},
    {"Acos", 7, plain<Function::acos>},
    {"Atan", 7, plain<Function::atan>},
    {"Sinh", 9, plain<Function::sinh>},
    {"Cosh", 9, plain<Function::cosh>},
    {"Asinh", 9, plain<Function::asinh>},
    {"Acosh", 9, plain<Function::acosh>},
    {"Atanh", 9, plain<Function::atanh>},
};

}  // namespace

std::span<const Operator> activation_operators() { return operators; }

}  // namespace trainyard::graph::onnx_file
