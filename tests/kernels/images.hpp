// How images may lie for the cpu backend, beside row major: test code that looks behind its layouts.
#pragma once

#include "tests/kernels/lab.hpp"

namespace trainyard::ops {

/// The image, row major in a cpu backend, in this order; its bytes go to `to`.
LayoutPtr image_layout(const Shape& shape, Images order);
void arrange_image(const Held& plain, const Held& to);

/// Are the floats that belong to no channel zero? True of everything that is no image in blocks.
bool padding_is_zero(const Shape& shape, const LayoutPtr& layout, const tensor::Buffer& bytes);

}  // namespace trainyard::ops
