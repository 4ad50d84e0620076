// Bags of equal length in a graph that is exported. A pass over a graph; pure.
#pragma once

#include "common/graph/graph.hpp"

namespace trainyard::graph::onnx_file {

/// Bags that are the rows of a matrix of ids [N, T] become a gather and a sum or mean along T, which any
/// reader of ONNX knows with the batch left open. Other bags stay.
void unroll_equal_bags(Graph& graph);

}  // namespace trainyard::graph::onnx_file
