// The windows of convolutions and pools: along one axis or two, padded as the file says. An image with one
// axis is one of height 1. Private to common/graph/onnx.
#pragma once

#include "common/graph/onnx/call.hpp"

namespace trainyard::graph::onnx_file {

/// One value for the height, one for the width.
using Sides = std::array<std::int64_t, 2>;

struct Window {
  Sides kernel{1, 1}, stride{1, 1}, dilation{1, 1}, before{0, 0}, after{0, 0};

  Attributes attributes() const;
};

/// The spatial extents of [N, C, W] or [N, C, H, W]; an error for other ranks and open extents.
Sides spatial(Call& call, const Shape& shape);
/// The attribute of that name as height and width; `otherwise` where it is absent.
Sides sides(Call& call, const char* name, std::size_t axes, std::int64_t otherwise, std::int64_t least);
/// kernel_shape (else `kernel`), strides, dilations, pads and auto_pad over `extents`.
Window window_of(Call& call, std::size_t axes, Sides extents, Sides kernel);

/// [N, C, W] as [N, C, 1, W]; an image stays.
ValueId as_image(Call& call, ValueId x);
/// Back to the rank of the operand.
ValueId from_image(Call& call, ValueId y, std::size_t rank);

}  // namespace trainyard::graph::onnx_file
