// Operations that look elements up, and resizing.
#include "common/ops/infer/infer.hpp"

namespace trainyard::ops {
namespace {

Status is_index(const Signature& index) {
  if (index.type == DType::i32 || index.type == DType::i64) return {};
  return shape_error("needs an index of int32 or int64, and gets {}", name_of(index.type));
}

Inferred gather(Attributes& a, std::span<const Signature> in) {
  if (auto ok = operands(in, 2); !ok) return ok.error();
  if (auto ok = is_index(in[1]); !ok) return ok.error();
  const auto axis = front_axis(a.axis, in[0].shape.rank());
  if (!axis) return axis.error();
  a.axis = *axis;
  std::vector<std::int64_t> dims = in[0].shape.dims();
  if (dims[static_cast<std::size_t>(*axis)] < 0)
    return shape_error("looks along the batch of {}", in[0].shape.text());
  dims.erase(dims.begin() + *axis);
  dims.insert(dims.begin() + *axis, in[1].shape.dims().begin(), in[1].shape.dims().end());
  return Signatures{{Shape(std::move(dims)), in[0].type}};
}

Inferred elements(Kind kind, Attributes& a, std::span<const Signature> in) {
  const bool scatter = kind == Kind::scatter_elements;
  if (auto ok = operands(in, scatter ? 3 : 2); !ok) return ok.error();
  if (auto ok = is_index(in[1]); !ok) return ok.error();
  const Shape &x = in[0].shape, &index = in[1].shape;
  const auto axis = front_axis(a.axis, x.rank());
  if (!axis) return axis.error();
  a.axis = *axis;
  const auto along = static_cast<std::size_t>(*axis);
  if (x[along] < 0) return shape_error("looks along the batch of {}", x.text());
  bool fits = index.rank() == x.rank();
  for (std::size_t i = 0; fits && i < x.rank(); ++i)
    fits = i == along || (index[i] < 0 ? index[i] == x[i] : x[i] >= 0 && index[i] <= x[i]);
  if (!fits)
    return shape_error("{} by an index {}; all but axis {} have to be within it", x.text(), index.text(),
                       along);
  if (scatter && in[2].shape != index)
    return shape_error("updates {} for an index {}", in[2].shape.text(), index.text());
  if (scatter && in[2].type != in[0].type)
    return shape_error("of {} and updates of {}", name_of(in[0].type), name_of(in[2].type));
  return Signatures{{scatter ? x : index, in[0].type}};
}

Inferred one_hot(Attributes& a, const Signature& index) {
  if (auto ok = is_index(index); !ok) return ok.error();
  if (a.size < 1) return shape_error("of {} classes", a.size);
  const auto axis = front_axis(a.axis, index.shape.rank() + 1);
  if (!axis) return axis.error();
  a.axis = *axis;
  std::vector<std::int64_t> dims = index.shape.dims();
  dims.insert(dims.begin() + *axis, a.size);
  return Signatures{{Shape(std::move(dims)), a.type}};
}

Inferred resize(const Attributes& a, const Signature& x) {
  if (x.shape.rank() != 4) return shape_error("needs an image [N, C, H, W], and gets {}", x.shape.text());
  if (auto ok = real_numbers(x); !ok) return ok.error();
  if (x.shape[2] == 0 || x.shape[3] == 0) return shape_error("of {}, which has no pixels", x.shape.text());
  if (a.dims.size() != 2 || a.dims[0] < 1 || a.dims[1] < 1) return shape_error("needs a height and a width");
  return Signatures{{{x.shape[0], x.shape[1], a.dims[0], a.dims[1]}, x.type}};
}

}  // namespace

Inferred infer_index(Kind kind, Attributes& attributes, std::span<const Signature> inputs) {
  switch (kind) {
    case Kind::gather:
      return gather(attributes, inputs);
    case Kind::gather_elements:
    case Kind::scatter_elements:
      return elements(kind, attributes, inputs);
    case Kind::one_hot:
      if (auto ok = operands(inputs, 1); !ok) return ok.error();
      return one_hot(attributes, inputs[0]);
    default:
      if (auto ok = operands(inputs, 1); !ok) return ok.error();
      return resize(attributes, inputs[0]);
  }
}

}  // namespace trainyard::ops
