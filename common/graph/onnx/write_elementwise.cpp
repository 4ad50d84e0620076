// Functions, arithmetic, comparisons, choices and casts.
#include <cmath>
#include <numbers>

#include "common/graph/onnx/writer.hpp"

namespace trainyard::graph::onnx_file {
namespace {

using ops::Arithmetic;
using ops::Function;

/// Functions that ONNX has under one name and without attributes; null for others.
const char* plain(Function function) {
  switch (function) {
    case Function::identity:
      return "Identity";
    case Function::relu:
      return "Relu";
    case Function::selu:
      return "Selu";
    case Function::hard_swish:
      return "HardSwish";
    case Function::sigmoid:
      return "Sigmoid";
    case Function::tanh:
      return "Tanh";
    case Function::softplus:
      return "Softplus";
    case Function::softsign:
      return "Softsign";
    case Function::exp:
      return "Exp";
    case Function::log:
      return "Log";
    case Function::sqrt:
      return "Sqrt";
    case Function::reciprocal:
      return "Reciprocal";
    case Function::abs:
      return "Abs";
    case Function::negate:
      return "Neg";
    case Function::sign:
      return "Sign";
    case Function::floor:
      return "Floor";
    case Function::ceil:
      return "Ceil";
    case Function::round:
      return "Round";
    case Function::erf:
      return "Erf";
    case Function::sin:
      return "Sin";
    case Function::cos:
      return "Cos";
    case Function::tan:
      return "Tan";
    case Function::asin:
      return "Asin";
    case Function::acos:
      return "Acos";
    case Function::atan:
      return "Atan";
    case Function::sinh:
      return "Sinh";
    case Function::cosh:
      return "Cosh";
    case Function::asinh:
      return "Asinh";
    case Function::acosh:
      return "Acosh";
    case Function::atanh:
      return "Atanh";
    case Function::logical_not:
      return "Not";
    case Function::is_nan:
      return "IsNaN";
    case Function::is_inf:
      return "IsInf";
    default:
      return nullptr;
  }
}

void clip(Writer& w, double least, double most, const std::string& x, const std::string& y) {
  const std::string low = std::isinf(least) ? "" : w.number(least),
                    high = std::isinf(most) ? "" : w.number(most);
  w.node("Clip", {x, low, high}, {y});
}

/// x / 2 * (1 + bend).
void half_of_bent(Writer& w, const std::string& x, const std::string& bend, const std::string& y) {
  const std::string half = w.apply("Mul", {x, w.number(0.5)}), one_more = w.apply("Add", {bend, w.number(1)});
  w.node("Mul", {half, one_more}, {y});
}

void gelu(Writer& w, const std::string& x, const std::string& y) {
  const std::string scaled = w.apply("Mul", {x, w.number(std::numbers::sqrt2 / 2)});
  half_of_bent(w, x, w.apply("Erf", {scaled}), y);
}

void gelu_tanh(Writer& w, const std::string& x, const std::string& y) {
  const std::string cube = w.apply("Mul", {w.apply("Mul", {x, x}), x});
  const std::string sum = w.apply("Add", {x, w.apply("Mul", {cube, w.number(0.044715)})});
  const std::string inner = w.apply("Mul", {sum, w.number(std::numbers::sqrt2 * std::numbers::inv_sqrtpi)});
  half_of_bent(w, x, w.apply("Tanh", {inner}), y);
}

/// Functions with numbers, and those that ONNX has no name for.
void composed(Writer& w, Function function, const Attributes& a, const std::string& x, const std::string& y) {
  switch (function) {
    case Function::relu6:
      return clip(w, 0, 6, x, y);
    case Function::clip:
      return clip(w, a.alpha, a.beta, x, y);
    case Function::leaky_relu:
      return Writer::set(w.node("LeakyRelu", {x}, {y}), "alpha", a.alpha);
    case Function::elu:
      return Writer::set(w.node("Elu", {x}, {y}), "alpha", a.alpha);
    case Function::celu:
      return Writer::set(w.node("Celu", {x}, {y}), "alpha", a.alpha);
    case Function::thresholded_relu:
      return Writer::set(w.node("ThresholdedRelu", {x}, {y}), "alpha", a.alpha);
    case Function::hard_sigmoid: {
      auto& node = w.node("HardSigmoid", {x}, {y});
      Writer::set(node, "alpha", a.alpha);
      return Writer::set(node, "beta", a.beta);
    }
    case Function::shrink: {
      auto& node = w.node("Shrink", {x}, {y});
      Writer::set(node, "lambd", a.alpha);
      return Writer::set(node, "bias", a.beta);
    }
    case Function::square:
      w.node("Mul", {x, x}, {y});
      return;
    case Function::silu:
      w.node("Mul", {x, w.apply("Sigmoid", {x})}, {y});
      return;
    case Function::mish:
      w.node("Mul", {x, w.apply("Tanh", {w.apply("Softplus", {x})})}, {y});
      return;
    case Function::gelu:
      return gelu(w, x, y);
    default:
      check(function == Function::gelu_tanh, "a function of the kind has a counterpart");
      return gelu_tanh(w, x, y);
  }
}

const char* name_of_arithmetic(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::add:
      return "Add";
    case Arithmetic::subtract:
      return "Sub";
    case Arithmetic::multiply:
      return "Mul";
    case Arithmetic::divide:
      return "Div";
    case Arithmetic::power:
      return "Pow";
    case Arithmetic::minimum:
      return "Min";
    case Arithmetic::maximum:
      return "Max";
    case Arithmetic::modulo:
    case Arithmetic::f_modulo:
      return "Mod";
    case Arithmetic::equal:
      return "Equal";
    case Arithmetic::less:
      return "Less";
    case Arithmetic::less_equal:
      return "LessOrEqual";
    case Arithmetic::greater:
      return "Greater";
    case Arithmetic::greater_equal:
      return "GreaterOrEqual";
    case Arithmetic::logical_and:
      return "And";
    case Arithmetic::logical_or:
      return "Or";
    case Arithmetic::logical_xor:
      return "Xor";
  }
  return "Add";
}

void unary(Writer& w, const Node& at) {
  const Function function = at.attributes.function;
  const bool logical = function == Function::logical_not;
  const bool truth = logical || function == Function::is_nan || function == Function::is_inf;
  if (truth) w.mark_boolean(at.outputs[0]);
  if (function == Function::identity && w.boolean(at.inputs[0])) w.mark_boolean(at.outputs[0]);
  const std::string x = logical ? w.as_bool(at.inputs[0]) : w.name(at.inputs[0]);
  write_unary(w, function, at.attributes, x, w.name(at.outputs[0]));
}

void binary(Writer& w, const Node& at) {
  const Arithmetic arithmetic = at.attributes.arithmetic;
  const bool logical = arithmetic >= Arithmetic::logical_and;
  const ValueId y = at.outputs[0];
  if (is_comparison(arithmetic)) w.mark_boolean(y);
  const std::string a = logical ? w.as_bool(at.inputs[0]) : w.as_bytes(at.inputs[0]);
  const std::string b = logical ? w.as_bool(at.inputs[1]) : w.as_bytes(at.inputs[1]);
  if (arithmetic == Arithmetic::modulo && tensor::is_real(w.type(y))) {
    // Mod of reals takes the sign of the dividend there.
    const std::string whole = w.apply("Floor", {w.apply("Div", {a, b})});
    w.make("Sub", {a, w.apply("Mul", {whole, b})}, y);
    return;
  }
  auto& node = w.make(name_of_arithmetic(arithmetic), {a, b}, y);
  if (arithmetic == Arithmetic::f_modulo) Writer::set(node, "fmod", std::int64_t{1});
}

void where(Writer& w, const Node& at) {
  const bool truth = w.boolean(at.inputs[1]) && w.boolean(at.inputs[2]);
  if (truth) w.mark_boolean(at.outputs[0]);
  const std::string condition = w.as_bool(at.inputs[0]);
  const std::string a = truth ? w.name(at.inputs[1]) : w.as_bytes(at.inputs[1]);
  w.make("Where", {condition, a, truth ? w.name(at.inputs[2]) : w.as_bytes(at.inputs[2])}, at.outputs[0]);
}

}  // namespace

void write_unary(Writer& w, Function function, const Attributes& attributes, const std::string& x,
                 const std::string& output) {
  if (const char* const name = plain(function))
    w.node(name, {x}, {output});
  else
    composed(w, function, attributes, x, output);
}

Result<bool> write_elementwise(Writer& w, const Node& at) {
  switch (at.kind) {
    case Kind::unary:
      unary(w, at);
      return true;
    case Kind::binary:
      binary(w, at);
      return true;
    case Kind::where:
      where(w, at);
      return true;
    case Kind::cast:
      Writer::set(w.make("Cast", {w.name(at.inputs[0])}, at.outputs[0]), "to",
                  static_cast<std::int64_t>(onnx_type(at.attributes.type)));
      return true;
    default:
      return false;
  }
}

}  // namespace trainyard::graph::onnx_file
