// Computes now what depends on known values only. Private to common/graph/onnx.
#pragma once

#include <optional>

#include "common/graph/onnx/operators.hpp"

namespace trainyard::graph::onnx_file {

class Folding {
 public:
  explicit Folding(Folder& folder) : folder_(folder) {}
  /// The results of a node whose operands are all known; nothing when it is better done by the model: large,
  /// costly, or a weight that others use as it is. Errors are the operator's.
  Result<std::optional<std::vector<TermPtr>>> fold(const Operator& op, const onnx::NodeProto& node,
                                                   int version, const std::vector<TermPtr>& operands,
                                                   const std::vector<bool>& used);

 private:
  Folder& folder_;
  std::uint64_t budget_ = std::uint64_t{2} << 30;  // bytes of results, of one import
};

}  // namespace trainyard::graph::onnx_file
