// Tensors of an ONNX file: their types, and their bytes as a Constant, inside the file or beside it. Private
// to common/graph/onnx.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "common/graph/graph.hpp"
#include "common/graph/onnx/schema.hpp"

namespace trainyard::graph::onnx_file {

/// How values of an ONNX type are kept here: reals as float, small whole numbers as int32, bool as 0 or 1.
struct ElementType {
  DType type = DType::f32;
  bool boolean = false;
  bool bfloat16 = false;  // as the file has it; here it is float
};
/// Errc::refused names the type: "string", "complex64".
Result<ElementType> element_type(std::int32_t onnx_type);

/// Shape and type of a tensor of the file. Negative extents, more than kTensorBytesMax and types that are not
/// read are errors.
Result<Signature> signature_of(const onnx::TensorProto& tensor);

/// The folder of a model: where its external data lie.
class Folder {
 public:
  /// Without a path there are no external data.
  explicit Folder(std::optional<std::filesystem::path> path) : path_(std::move(path)) {}
  /// `length` bytes at `offset` of a file of the folder; paths that lead out of it are refused.
  Result<std::string> read(const std::string& location, std::uint64_t offset,
                           std::optional<std::uint64_t> length, std::uint64_t wanted);

 private:
  std::optional<std::filesystem::path> path_;
  std::map<std::string, std::uint64_t> read_;  // bytes of each file that were given out
};

/// The values. Sizes that do not fit the shape are Errc::corrupt.
Result<Constant> decode(const onnx::TensorProto& tensor, Folder& folder);

}  // namespace trainyard::graph::onnx_file
