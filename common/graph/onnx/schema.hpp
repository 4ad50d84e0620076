// The compiled schema of ONNX, and text about its parts. Private to common/graph/onnx.
#pragma once

#include <string>

#include "onnx/onnx.pb.h"

namespace trainyard::graph::onnx_file {

/// A name from a file as a message may show it: printable, and not too long.
std::string shown(const std::string& name);
/// "ONNX node 'conv_1' (Conv)"; a node without a name is known by its first result.
std::string node_place(const onnx::NodeProto& node);

}  // namespace trainyard::graph::onnx_file
