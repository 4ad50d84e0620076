// Fusion: operations that follow each other become one where a kernel does them in one pass. A pass over the
// forward graph, before it is differentiated; the numbers stay the same up to rounding.
#pragma once

#include "common/graph/graph.hpp"

namespace trainyard::graph {

/// A normalization of the batch and the relu behind it become one operation that rectifies.
void fuse(Graph& graph);

}  // namespace trainyard::graph
