// The dataflow graph: typed values and the operations between them, forward and backward alike, the batch
// left open. A value (data structure); knows no memory and no backend.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/ops/operation.hpp"

namespace trainyard::graph {

using ops::Attributes;
using ops::DType;
using ops::Kind;
using ops::Shape;
using ops::Signature;

/// Where a value lives.
enum class Place : std::uint8_t {
  arena,      // made and used within one run
  parameter,  // in the caller's flat array of values, at `offset` elements
  gradient,   // in the caller's flat array of gradients, at `offset`
  constant,   // Graph::constants[offset]
  external,   // Graph::externals[offset]: given by the caller, or written for it
};

struct Value {
  Signature of;
  Place place = Place::arena;
  std::uint64_t offset = 0;
  bool trainable = false;  // a parameter that gets a gradient
};

using ValueId = std::uint32_t;
/// An optional operand that is not there.
inline constexpr ValueId kAbsent = UINT32_MAX;

struct Node {
  Kind kind = Kind::unary;
  Attributes attributes;
  std::vector<ValueId> inputs, outputs;
  std::uint32_t origin = 0;  // Graph::origins, for messages
};

/// What a node comes from: a layer of a job file, a node of an ONNX file.
struct Origin {
  std::string name;   // "conv1", "layer1.0.bn2"
  std::string place;  // "model.layers[3] (12:7)", "ONNX node 'conv_1'"
  std::string kind;   // "conv2d"; may be empty
};

struct External {
  std::string name;
  Signature of;
  std::size_t bytes = 0;  // of what is no tensor (an ops::Outcome); else 0
};

/// Row-major elements; real numbers as float.
struct Constant {
  Signature of;
  std::vector<std::byte> bytes;
};

/// The gradient of a parameter of which only some rows (along its first axis) have one, as a graph computes
/// it: results `first` to `first` + 2 are ids i32 [L], rows [L, ...] and count i32 [1], as
/// Kind::gather_grad_rows gives them. Such a parameter has nothing in Place::gradient.
struct RowResult {
  ValueId parameter = kAbsent;
  std::size_t first = 0;  // of Graph::results
};

struct Graph {
  std::vector<Value> values;
  std::vector<Node> nodes;  // in an order in which they can run
  std::vector<Origin> origins{Origin{}};
  std::vector<External> externals;
  std::vector<Constant> constants;
  std::vector<ValueId> results;
  std::vector<RowResult> row_results;  // by the offset of the parameter

  ValueId add(Value value) {
    values.push_back(std::move(value));
    return static_cast<ValueId>(values.size() - 1);
  }
  /// Adds a node whose results have these signatures; gives their ids.
  std::vector<ValueId> add(Kind kind, Attributes attributes, std::vector<ValueId> inputs,
                           const std::vector<Signature>& outputs, std::uint32_t origin);
  ValueId external(std::string name, Signature of, std::size_t bytes = 0);
  ValueId constant(Constant value);
  /// A real number without axes.
  ValueId scalar(float value);

  const Signature& signature(ValueId id) const { return values[id].of; }
  const Shape& shape(ValueId id) const { return values[id].of.shape; }
};

/// How many operands of nodes, and results of the graph, each value is.
std::vector<std::uint32_t> uses(const Graph& graph);

}  // namespace trainyard::graph
