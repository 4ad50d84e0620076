// The dataflow graph of a network: values and the operations between them, forward and backward alike, the
// batch left open. A value (data structure), built once and never changed; knows no memory and no backend.
#pragma once

#include <cstdint>
#include <vector>

#include "common/config/job_spec.hpp"
#include "common/graph/shapes.hpp"
#include "common/ops/backend.hpp"

namespace trainyard::graph {

/// Where a value lives.
enum class Place : std::uint8_t {
  arena,      // made and used within one step
  parameter,  // in Network::values(), at `offset`
  gradient,   // in Network::gradients(), at `offset`
  images,     // given by the caller
  labels,
  keys,
  step,
  outcome,  // ops::Outcome
};

struct Value {
  Shape shape;  // empty: the backend chooses (masks and the like)
  Place place = Place::arena;
  std::uint64_t offset = 0;  // floats
};

using ValueId = std::uint32_t;

struct Node {
  ops::Kind kind = ops::Kind::relu;
  ops::Attributes attributes;
  std::vector<ValueId> inputs, outputs;
  std::size_t layer = 0;  // of model.layers, for messages
};

struct Graph {
  std::vector<Value> values;
  std::vector<Node> nodes;  // in an order in which they can run
  ValueId result = 0;       // logits, or probabilities

  ValueId add(Value value) {
    values.push_back(std::move(value));
    return static_cast<ValueId>(values.size() - 1);
  }
};

/// Forward pass for training, up to the logits. A batch_norm with a relu behind it becomes one operation.
Graph forward_graph(const config::ModelSection& model, const ModelShapes& shapes, InputShape input,
                    std::uint64_t seed);
/// Forward pass with running statistics and without dropout, up to the probabilities.
Graph inference_graph(const config::ModelSection& model, const ModelShapes& shapes, InputShape input);

/// Adds the loss and its gradient with respect to every parameter (reverse mode: Griewank and Walther,
/// Evaluating Derivatives, 2008, chapter 3). What no gradient flows into (the images) gets none.
void differentiate(Graph& graph);

}  // namespace trainyard::graph
