// The shapes of a model's inputs, and which of their dimensions is the batch. Private to common/graph/onnx.
#pragma once

#include <map>
#include <string>

#include "common/graph/onnx/onnx.hpp"
#include "common/graph/onnx/tensor.hpp"

namespace trainyard::graph::onnx_file {

struct Input {
  std::string name;
  Signature of;
  bool boolean = false, bfloat16 = false;
  std::int64_t fixed_batch = 0;  // what the file says where the caller opened the batch; else 0
};

/// The inputs that are neither initializers nor told as constants, in their order.
Result<std::vector<Input>> read_inputs(const onnx::GraphProto& graph, const OnnxImport& options);

}  // namespace trainyard::graph::onnx_file
