// The heads of self-attention, cut out of one projection and put together again, become one operation that
// reads and writes them where they lie. A pass over the forward graph, before it is differentiated; the
// numbers stay the same.
#pragma once

#include "common/graph/graph.hpp"

namespace trainyard::graph {

void join_heads(Graph& graph);

}  // namespace trainyard::graph
