// Runs imported models on tensors of ONNX files, on any backend. Test code of one thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/graph/onnx/onnx.hpp"
#include "common/graph/onnx/schema.hpp"
#include "common/ops/backend.hpp"

namespace trainyard::graph::test {

/// Any tensor, its numbers as double.
struct Numbers {
  std::vector<std::int64_t> dims;
  std::vector<double> values;
  bool whole = false;  // of whole numbers
};

/// A TensorProto of a file, for a value that the model declares as `declared`; Errc::refused for other types
/// than tensors. Files of bfloat16 say uint16 in some releases.
Result<Constant> read_tensor(const std::string& path, const onnx::ValueInfoProto& declared);
Result<onnx::ModelProto> read_model(const std::string& path);
/// Of the inputs that a model's file does not initialize.
std::vector<std::string> input_names(const onnx::ModelProto& model);
Numbers numbers_of(const Constant& constant);
Constant constant_of(const Numbers& numbers, DType type);

/// All results of one run of the model's inference graph, fused as a prediction is. The batch is what the
/// inputs say; errors when they do not fit.
Result<std::vector<Numbers>> run(const Model& model, const std::vector<Constant>& inputs,
                                 const ops::Backend& backend);
/// The same with these values of the tensors, instead of those that the model begins with.
Result<std::vector<Numbers>> run(const Model& model, std::span<const float> values,
                                 const std::vector<Constant>& inputs, const ops::Backend& backend);

/// Nothing when `actual` is within atol + rtol |expected| everywhere; else where and how far it is off.
std::optional<std::string> difference(const Numbers& actual, const Numbers& expected, double rtol,
                                      double atol);

}  // namespace trainyard::graph::test
