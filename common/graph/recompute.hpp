// Recomputation: what the backward pass needs of the forward pass is made again, segment by segment, instead
// of being kept (Chen and others, "Training Deep Nets with Sublinear Memory Cost", 2016, section 4). A pass
// over the graph of a training; the gradients keep every bit, since the same operations see the same
// operands.
#pragma once

#include <cstddef>

#include "common/graph/graph.hpp"

namespace trainyard::graph {

/// The first `forward` nodes of a differentiated graph are its forward pass. Cuts them into as many segments
/// as make the most bytes that live at once least; what crosses a cut is kept, what else the backward pass
/// reads is computed a second time in front of its first reader. Nothing changes where that gains nothing.
/// About one forward pass more a step.
void recompute(Graph& graph, std::size_t forward);

}  // namespace trainyard::graph
