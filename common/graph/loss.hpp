// What is minimized, as an operation of the graph: what it takes from the model's results, what it asks of
// the caller, and what a prediction shows of the same results. Adds nodes; knows no gradients but the loss's
// own.
#pragma once

#include <vector>

#include "common/base/result.hpp"
#include "common/graph/graph.hpp"

namespace trainyard::graph {

/// Labels come as the external "labels", class weights as a constant when there are any. The model's results
/// are one tensor, but three embeddings (anchor, positive, negative) for a triplet loss, and for a random
/// field the emissions [N, T, K], the parameter transitions [K+2, K+2] and, unless all sequences are full,
/// the lengths i32 [N].
struct LossSpec {
  Kind kind = Kind::softmax_cross_entropy;
  Attributes attributes;             // smoothing, ignore, alpha; see ops/kind.hpp
  std::vector<float> class_weights;  // softmax_cross_entropy: one a class, or none
};

/// A result of the model and the gradient of the loss with respect to it.
struct Seed {
  ValueId value = kAbsent, gradient = kAbsent;
};

/// Adds the loss as the last node and the external "outcome". Errc::invalid names what the loss needs.
Result<std::vector<Seed>> add_loss(Graph& graph, const LossSpec& loss);

/// Makes result 0 what a prediction shows: probabilities where the loss has them, the best path of a random
/// field.
Status add_prediction(Graph& graph, const LossSpec& loss);

}  // namespace trainyard::graph
