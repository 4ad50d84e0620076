// Passes for a model whose values no longer change: what can be computed once is computed once. Pure
// functions of a forward graph.
#pragma once

#include <span>

#include "common/base/result.hpp"
#include "common/graph/graph.hpp"

namespace trainyard::graph {

/// Parameters become constants with these values; `values` is the model's flat array.
void freeze(Graph& graph, std::span<const float> values);

/// Nodes whose operands are all constants are computed now, by the reference loops, up to results of
/// `bytes_max`: what is larger than that would cost memory for nothing (an expanded mask, for example).
Status fold(Graph& graph, std::size_t bytes_max = std::size_t{64} << 20);

/// A normalization with constant statistics behind a convolution or dense layer with constant weights goes
/// into these weights (Jacob and others, 2018, section 3.2).
void fold_batch_norm(Graph& graph);

/// Nodes that no result needs go.
void drop_unused(Graph& graph);

}  // namespace trainyard::graph
