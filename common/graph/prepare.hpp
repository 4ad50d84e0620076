// The graphs that run: those of a model after all passes over it, before they are bound to a batch. Pure.
#pragma once

#include <span>

#include "common/graph/autodiff.hpp"
#include "common/graph/loss.hpp"
#include "common/graph/model.hpp"

namespace trainyard::graph {

/// The type of numbers, where it is one of 16 bits; see graph/narrow.hpp.
struct Narrow {
  DType type = DType::f32;
  bool images = false;
};

struct TrainingPasses {
  RowGradients rows = RowGradients::dense;
  bool low_memory = false;  // see graph/recompute.hpp
  Narrow narrow;
};

/// Forward, loss and backward. Errors name the operation that has no gradient, or what the loss needs.
Result<Graph> graph_to_train(const Model& model, const LossSpec& loss, std::uint64_t seed,
                             const TrainingPasses& passes = {});
/// Result 0 is what a prediction shows.
Result<Graph> graph_to_predict(const Model& model, const LossSpec& loss, Narrow narrow = {});
/// The same with tensors that stay as they are: what follows from `values`, the model's flat array, is
/// computed now, once. Errc::refused: a weight is too large for fp16.
Result<Graph> graph_to_predict_frozen(const Model& model, const LossSpec& loss, std::span<const float> values,
                                      Narrow narrow = {});

}  // namespace trainyard::graph
