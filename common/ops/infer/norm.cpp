// Normalizations.
#include "common/ops/infer/infer.hpp"

namespace trainyard::ops {
namespace {

Status per_channel(std::span<const Signature> in, std::size_t first, std::size_t last,
                   std::int64_t channels) {
  for (std::size_t i = first; i < last; ++i)
    if (in[i].shape != Shape{channels})
      return shape_error("operand {} is {}; {} channels need [{}]", i, in[i].shape.text(), channels,
                         channels);
  return {};
}

Inferred batch_norm(Kind kind, const Attributes& a, std::span<const Signature> in) {
  const Shape& x = in[0].shape;
  const bool training = kind == Kind::batch_norm_training;
  if (in.size() < 5 || in.size() > 6) return shape_error("takes x, four vectors and perhaps an addend");
  if (x.rank() < 2) return shape_error("of {}; it needs channels in axis 1", x.text());
  if (auto ok = per_channel(in, 1, 5, x[1]); !ok) return ok.error();
  if (in.size() == 6 && in[5].shape != x) return shape_error("addend {} to {}", in[5].shape.text(), x.text());
  if (!training) return Signatures{in[0]};
  const Signature vector(Shape{x[1]});
  Signatures out{in[0], vector, vector};
  if (a.function != Function::identity) out.push_back(Signature::opaque_bytes());
  out.push_back(vector);
  out.push_back(vector);
  return out;
}

Inferred layer_norm(Attributes& a, std::span<const Signature> in) {
  const Shape& x = in[0].shape;
  if (in.size() > 3) return shape_error("takes x and perhaps gamma and beta");
  const auto axis = front_axis(a.axis, x.rank());
  if (!axis) return axis.error();
  a.axis = *axis;
  const Shape tail(std::vector<std::int64_t>(x.dims().begin() + a.axis, x.dims().end()));
  for (std::size_t i = 1; i < in.size(); ++i)
    if (in[i].shape != tail)
      return shape_error("operand {} is {}; it has to be {}", i, in[i].shape.text(), tail.text());
  Shape outer = x;
  for (std::size_t i = static_cast<std::size_t>(a.axis); i < x.rank(); ++i) outer[i] = 1;
  return Signatures{in[0], outer, outer};
}

Inferred group_norm(const Attributes& a, std::span<const Signature> in) {
  const Shape& x = in[0].shape;
  if (in.size() != 3) return shape_error("takes x, gamma and beta");
  if (x.rank() < 2) return shape_error("of {}; it needs channels in axis 1", x.text());
  if (auto ok = per_channel(in, 1, 3, x[1]); !ok) return ok.error();
  if (a.groups < 1 || x[1] % a.groups != 0)
    return shape_error("{} groups do not divide {} channels", a.groups, x[1]);
  const Shape groups{x[0], a.groups};
  return Signatures{in[0], groups, groups};
}

}  // namespace

Inferred infer_norm(Kind kind, Attributes& attributes, std::span<const Signature> inputs) {
  switch (kind) {
    case Kind::layer_norm:
      return layer_norm(attributes, inputs);
    case Kind::group_norm:
      return group_norm(attributes, inputs);
    case Kind::lrn:
      if (inputs[0].shape.rank() < 2 || attributes.size < 1)
        return shape_error("of {} across {} channels", inputs[0].shape.text(), attributes.size);
      return Signatures{inputs[0]};
    default:
      return batch_norm(kind, attributes, inputs);
  }
}

}  // namespace trainyard::ops
