// Reverse-mode differentiation as a transformation of the graph (Griewank and Walther, Evaluating
// Derivatives, 2008, chapter 3): gradients are operations of the same graph, in the order in which they
// become final.
#pragma once

#include "common/base/result.hpp"
#include "common/graph/graph.hpp"
#include "common/graph/loss.hpp"

namespace trainyard::graph {

/// How the gradient of a parameter is made whose rows are looked up (gather along axis 0, embedding_bag) and
/// that nothing else uses: like any other, or as the rows that have one, behind the graph's results; see
/// Graph::row_results.
enum class RowGradients : std::uint8_t { dense, rows };

/// Adds the loss of the graph's results, as the external "outcome", and the gradient of the SUM of the
/// samples' losses with respect to every trainable parameter, each in Place::gradient. What no gradient flows
/// into gets none. Values used more than once get the sum of their gradients in the order in which their
/// consumers run. Errc::invalid names the operation through which no gradient can flow, or results that the
/// loss does not take.
Status differentiate(Graph& graph, const LossSpec& loss, RowGradients rows = RowGradients::dense);

/// The same from given gradients of the results, one external "seed I" each: for tests and for exchange
/// between parts of a graph.
Status differentiate_from_seeds(Graph& graph, RowGradients rows = RowGradients::dense);

}  // namespace trainyard::graph
