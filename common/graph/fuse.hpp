// Fusion: operations that follow each other become one where a kernel does them in one pass. A pass over the
// forward graph, before it is differentiated; the numbers stay the same up to rounding.
#pragma once

#include "common/graph/graph.hpp"

namespace trainyard::graph {

/// An addition and an activation join the operation in front of them: the sum at the end of a residual block
/// and a relu or relu6 a normalization of the batch, a sum and an activation a convolution or dense layer;
/// there, in a graph that trains, only activations whose gradient follows from the result. In a graph that
/// trains, a rectifier in front of a maximum pool goes behind it.
void fuse(Graph& graph, bool training);

}  // namespace trainyard::graph
