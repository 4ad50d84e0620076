// Operations that look elements up, and resizing.
#include "common/ops/infer/infer.hpp"

namespace trainyard::ops {
namespace {

Status is_index(const Signature& index) {
  if (index.type == DType::i32 || index.type == DType::i64) return {};
  return shape_error("needs an index of int32 or int64, and gets {}", name_of(index.type));
}

Inferred gather(Attributes& a, std::span<const Signature> in) {
  if (in.size() != 2) return shape_error("takes a tensor and an index");
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
  if (in.size() != (scatter ? 3u : 2u))
    return shape_error("takes a tensor, an index{}", scatter ? " and updates" : "");
  if (auto ok = is_index(in[1]); !ok) return ok.error();
  const auto axis = front_axis(a.axis, in[0].shape.rank());
  if (!axis) return axis.error();
  a.axis = *axis;
  if (in[1].shape.rank() != in[0].shape.rank() || (scatter && in[2].shape != in[1].shape))
    return shape_error("{} by an index {}", in[0].shape.text(), in[1].shape.text());
  return Signatures{{scatter ? in[0].shape : in[1].shape, in[0].type}};
}

Inferred one_hot(Attributes& a, const Signature& index) {
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
      return one_hot(attributes, inputs[0]);
    default:
      return resize(attributes, inputs[0]);
  }
}

}  // namespace trainyard::ops
