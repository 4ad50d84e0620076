// One element of the result from one element of each operand.
#include "common/ops/infer/infer.hpp"

namespace trainyard::ops {
namespace {

bool gives_bytes(Function function) {
  return function == Function::logical_not || function == Function::is_nan || function == Function::is_inf;
}

Inferred unary(const Attributes& a, std::span<const Signature> in) {
  if (auto ok = operands(in, 1); !ok) return ok.error();
  if (!takes_whole_numbers(a.function))
    if (auto ok = real_numbers(in[0]); !ok) return ok.error();
  return Signatures{{in[0].shape, gives_bytes(a.function) ? DType::u8 : in[0].type}};
}

Inferred binary(const Attributes& a, std::span<const Signature> in) {
  if (auto ok = operands(in, 2); !ok) return ok.error();
  if (in[0].type != in[1].type)
    return shape_error("of {} and {}; cast one of them", name_of(in[0].type), name_of(in[1].type));
  Shape shape;
  if (!tensor::broadcast(in[0].shape, in[1].shape, shape))
    return shape_error("{} and {} do not broadcast", in[0].shape.text(), in[1].shape.text());
  return Signatures{{shape, is_comparison(a.arithmetic) ? DType::u8 : in[0].type}};
}

Inferred where(std::span<const Signature> in) {
  if (auto ok = operands(in, 3); !ok) return ok.error();
  if (in[0].type != DType::u8)
    return shape_error("needs a condition of uint8, and gets {}", name_of(in[0].type));
  if (in[1].type != in[2].type) return shape_error("of {} and {}", name_of(in[1].type), name_of(in[2].type));
  Shape values, all;
  if (!tensor::broadcast(in[1].shape, in[2].shape, values) || !tensor::broadcast(in[0].shape, values, all))
    return shape_error("{}, {} and {} do not broadcast", in[0].shape.text(), in[1].shape.text(),
                       in[2].shape.text());
  return Signatures{{all, in[1].type}};
}

}  // namespace

Inferred infer_elementwise(Kind kind, Attributes& attributes, std::span<const Signature> inputs) {
  switch (kind) {
    case Kind::binary:
      return binary(attributes, inputs);
    case Kind::where:
      return where(inputs);
    case Kind::cast:
      if (auto ok = operands(inputs, 1); !ok) return ok.error();
      return Signatures{{inputs[0].shape, attributes.type}};
    case Kind::dropout:
      if (!(attributes.rate >= 0 && attributes.rate < 1))
        return shape_error("of rate {}; it has to be in [0, 1)", attributes.rate);
      return Signatures{inputs[0]};
    default:
      return unary(attributes, inputs);
  }
}

}  // namespace trainyard::ops
