// Mixed precision for a device whose kernels read and write numbers of 16 bits as fast as they come: not only
// what linear maps read, but what lies between convolutions stays in 16 bits. A pass over a graph that runs;
// narrow.hpp is the one that keeps everything else f32.
#pragma once

#include "common/graph/graph.hpp"

namespace trainyard::graph {

/// Convolutions of one group give results of `type`, bf16 or f16, and what follows them keeps it:
/// normalizations (their statistics stay f32), elementwise functions and sums of images, pooling, dropout,
/// reshapes, and the gradients of all these. Dense layers and products read `type` and give f32. Weights'
/// gradients of convolutions are cast to f32 at once. Everything else, parameters, what leaves the graph
/// among it, stays f32.
void narrow_images(Graph& graph, DType type);

}  // namespace trainyard::graph
