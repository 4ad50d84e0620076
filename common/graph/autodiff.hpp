// Reverse-mode differentiation as a transformation of the graph (Griewank and Walther, Evaluating
// Derivatives, 2008, chapter 3): gradients are operations of the same graph, in the order in which they
// become final.
#pragma once

#include <vector>

#include "common/base/result.hpp"
#include "common/graph/graph.hpp"

namespace trainyard::graph {

/// What is minimized. Labels come as the external "labels", class weights as a constant when there are any.
struct LossSpec {
  Kind kind = Kind::softmax_cross_entropy;
  Attributes attributes;             // smoothing, ignore, alpha; see ops/kind.hpp
  std::vector<float> class_weights;  // softmax_cross_entropy: one a class, or none
};

/// Adds the loss of the graph's results, as the external "outcome", and the gradient of the SUM of the
/// samples' losses with respect to every trainable parameter, each in Place::gradient. What no gradient flows
/// into gets none. Values used more than once get the sum of their gradients in the order in which their
/// consumers run. Errc::invalid names the operation through which no gradient can flow, or results that the
/// loss does not take.
Status differentiate(Graph& graph, const LossSpec& loss);

/// The same from given gradients of the results, one external "seed I" each: for tests and for exchange
/// between parts of a graph.
Status differentiate_from_seeds(Graph& graph);

}  // namespace trainyard::graph
