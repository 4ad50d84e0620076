#include "common/ops/cpu/arrangement.hpp"

#include <algorithm>

#include "common/ops/cpu/parallel.hpp"

namespace trainyard::ops::cpu {

Desc Arrangement::desc(const Shape& shape) const {
  if (kind == Kind::plain) return plain_desc(shape);
  const Tag tag = kind == Kind::channels_last ? Tag::nhwc : block == 16 ? Tag::nChw16c : Tag::nChw8c;
  return Desc(shape.dims(), dnnl::memory::data_type::f32, tag);
}

std::vector<std::int64_t> Arrangement::extents(const Shape& shape) const {
  switch (kind) {
    case Kind::plain:
      return shape.dims();
    case Kind::channels_last:
      return {shape[0], shape[2], shape[3], shape[1]};
    case Kind::blocked:
      break;
  }
  if (shape[1] == 1) return {shape[0], 1, shape[2], shape[3], 1};
  return {shape[0], (shape[1] + block - 1) / block, shape[2], shape[3], block};
}

std::optional<Arrangement> arrangement_of(const Operand& operand) {
  const Desc& desc = desc_of(operand);
  if (desc == plain_desc(operand.shape)) return Arrangement{};
  if (operand.shape.rank() != 4) return std::nullopt;
  for (const Arrangement& other :
       {Arrangement{Arrangement::Kind::blocked, 16}, Arrangement{Arrangement::Kind::blocked, 8},
        Arrangement{Arrangement::Kind::channels_last, 1}})
    if (desc == other.desc(operand.shape)) return other;
  return std::nullopt;
}

bool is_dense(const Desc& desc) {
  std::int64_t elements = 1;
  for (const auto dim : dims_of(desc)) elements *= dim;
  return desc.get_size() == static_cast<std::size_t>(elements) * sizeof(float);
}

Padding::Padding(const Arrangement& arrangement, const Shape& shape) {
  if (arrangement.kind != Arrangement::Kind::blocked || shape[1] % arrangement.block == 0) return;
  block_ = arrangement.block;
  const std::int64_t blocks = (shape[1] + block_ - 1) / block_;
  images_ = shape[0];
  pixels_ = shape[2] * shape[3];
  image_ = blocks * pixels_ * block_;
  first_ = (blocks - 1) * pixels_ * block_;
  used_ = shape[1] % block_;
}

void Padding::clear(float* data) const {
  in_pieces(images_, 1, images_ * pixels_ * block_, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t n = begin; n < end; ++n)
      for (std::int64_t p = 0; p < pixels_; ++p) {
        float* const lanes = data + n * image_ + first_ + p * block_;
        std::fill(lanes + used_, lanes + block_, 0.0f);
      }
  });
}

}  // namespace trainyard::ops::cpu
