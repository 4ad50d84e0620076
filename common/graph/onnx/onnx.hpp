// ONNX files in and out. Import gives a Model like that of any layers; export writes what a prediction runs.
// Reads operator sets 7 to 17, and newer ones as far as docs/reference/onnx.md says. Functions without state;
// any thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.hpp"
#include "common/graph/model.hpp"

namespace trainyard::graph {

inline constexpr int kOpsetMin = 7, kOpsetWritten = 17;
/// The newest operator set whose changes are known here.
inline constexpr int kOpsetKnown = 28;
inline constexpr std::uint64_t kOnnxBytesMax = 2'000'000'000;  // of the file; protobuf ends near there

/// What the caller knows and the file leaves open.
struct OnnxImport {
  std::uint32_t batch_max = 32;  // bounds the size of activations
  /// Sizes of symbolic dimensions of the inputs, by their names; kBatch makes one the batch.
  std::map<std::string, std::int64_t> extents;
  /// Shapes of inputs instead of the file's; kBatch for the batch.
  std::map<std::string, std::vector<std::int64_t>> shapes;
  /// The shape of the model's input instead of the file's, where it has only one.
  std::optional<std::vector<std::int64_t>> only_input;
  /// Inputs whose values are known: they are inputs no longer.
  std::map<std::string, Constant> constants;
  /// Names of the values that the model gives, instead of the file's outputs.
  std::vector<std::string> results;
};

/// The model of an ONNX file. The batch is the first symbolic dimension that stands first in an input; every
/// dimension of that name is it. Float tensors that are used as weights become parameters under their names,
/// others constants; fp16, bf16 and double are read as float, small whole numbers as int32. What can be
/// computed now is computed now. Errors name the node, its operator, what is wrong and what would do:
/// Errc::corrupt for a damaged file, Errc::refused for what is not supported, Errc::invalid for what does not
/// fit.
Result<Model> import_onnx(std::string_view bytes, const OnnxImport& options = {});
/// The same of a file; data beside it are read from its folder only. Errc::not_found, Errc::io.
Result<Model> import_onnx_file(const std::string& path, const OnnxImport& options = {});

/// The file of what a prediction runs, with these values of all tensors: operator set 17, inputs and results
/// under their names, the batch as dimension "batch". Errc::refused names what has no counterpart in ONNX.
Result<std::string> export_onnx(const Model& model, std::span<const float> values);

}  // namespace trainyard::graph
