// Fusion: operations that follow each other become one where a kernel does them in one pass. A pass over the
// forward graph, before it is differentiated; the numbers stay the same up to rounding.
#pragma once

#include "common/graph/graph.hpp"

namespace trainyard::graph {

/// A relu joins the normalization in front of it. An addition and an activation join the convolution or dense
/// layer in front of them; of activations in a graph that trains, those whose gradient follows from the
/// result.
void fuse(Graph& graph, bool training);

}  // namespace trainyard::graph
