// Which nodes of a file are needed for its results, and in which order they can be read. Private to
// common/graph/onnx.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "common/base/result.hpp"
#include "common/graph/onnx/schema.hpp"

namespace trainyard::graph::onnx_file {

struct Order {
  std::vector<int> nodes;                               // of the graph
  std::unordered_map<std::string, std::uint32_t> uses;  // of values by these nodes and as results
};

/// `given`: values that no node makes. Errors name the node that wants a value that nobody makes, makes one
/// that exists already, or waits for itself.
Result<Order> order_of(const onnx::GraphProto& graph, const std::vector<std::string>& given,
                       const std::vector<std::string>& results);

}  // namespace trainyard::graph::onnx_file
