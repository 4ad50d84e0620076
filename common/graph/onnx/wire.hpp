// A look at the bytes of an ONNX file before protobuf unpacks them: whole, not nested too deep, and not
// swelling out of proportion. Private to common/graph/onnx.
#pragma once

#include <string_view>

#include "common/base/result.hpp"

namespace trainyard::graph::onnx_file {

/// Errc::corrupt says at which byte the file breaks, or which bound it exceeds. One pass over the tags; the
/// weights are skipped.
Status check_wire(std::string_view bytes);

}  // namespace trainyard::graph::onnx_file
