// An ONNX file while it is written: names of values, nodes, constants. Private to common/graph/onnx; one
// thread.
#pragma once

#include <set>
#include <span>
#include <string>
#include <vector>

#include "common/base/text.hpp"
#include "common/graph/model.hpp"
#include "common/graph/onnx/schema.hpp"

namespace trainyard::graph::onnx_file {

/// What an export is made of: a graph that predicts, and the tensors that its parameters are.
struct Source {
  const Graph& graph;
  std::span<const TensorInfo> tensors;
  std::span<const float> values;
  std::vector<std::string> result_names;
};

class Writer {
 public:
  explicit Writer(const Source& source);

  const Graph& graph() const { return source_.graph; }
  const Shape& shape(ValueId id) const { return graph().shape(id); }
  DType type(ValueId id) const { return graph().signature(id).type; }
  std::uint32_t uses(ValueId id) const { return uses_[id]; }

  /// The name of a value, "" of an absent one; parameters and constants are written when somebody asks first.
  std::string name(ValueId id);
  /// A matrix the other way round.
  std::string turned(ValueId id);
  /// Bytes that are true or false are ONNX's bool; here is which values are, and how they become one another.
  bool boolean(ValueId id) const { return boolean_[id]; }
  void mark_boolean(ValueId id) { boolean_[id] = true; }
  std::string as_bool(ValueId id);
  std::string as_bytes(ValueId id);

  onnx::NodeProto& node(const char* kind, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs);
  /// A node that gives `id`.
  onnx::NodeProto& make(const char* kind, const std::vector<std::string>& inputs, ValueId id) {
    return node(kind, inputs, {name(id)});
  }
  /// The only result of a node that has no attributes.
  std::string apply(const char* kind, const std::vector<std::string>& inputs);
  std::string fresh();

  static void set(onnx::NodeProto& node, const char* name, std::int64_t value);
  static void set(onnx::NodeProto& node, const char* name, double value);
  static void set(onnx::NodeProto& node, const char* name, const std::string& value);
  static void set(onnx::NodeProto& node, const char* name, const std::vector<std::int64_t>& values);

  std::string number(double value, DType type = DType::f32);
  std::string integers(const std::vector<std::int64_t>& values);
  std::string floats(const std::vector<float>& values, const std::vector<std::int64_t>& dims);
  std::string cast(const std::string& name, int onnx_type);
  /// Reshaped to extents of which one may be open.
  std::string reshape(const std::string& x, const std::vector<std::int64_t>& dims,
                      const std::string& output = "");
  std::string transpose(const std::string& x, const std::vector<std::int64_t>& axes,
                        const std::string& output = "");
  /// Extents as a tensor, the batch taken from an input.
  Result<std::string> extents(const std::vector<std::int64_t>& dims);

  /// Everything behind the nodes.
  Result<std::string> finish();

 private:
  void declare(onnx::ValueInfoProto& value, const std::string& name, ValueId id) const;
  std::string unique(std::string wanted);
  void write_parameter(ValueId id, bool turned);
  std::string write_constant(const Constant& constant, bool boolean);
  Result<std::string> batch();

  const Source& source_;
  onnx::ModelProto out_;
  std::vector<std::string> names_;  // of values; empty until somebody asks
  std::vector<bool> boolean_;
  std::vector<std::uint32_t> uses_;
  std::set<std::string> taken_;
  std::vector<std::pair<std::string, ValueId>> results_;
  std::string batch_;
  std::size_t count_ = 0;
};

int onnx_type(DType type);

// Families: false when the node is none of theirs.
Result<bool> write_linear(Writer& writer, const Node& node);
Result<bool> write_norm(Writer& writer, const Node& node);
Result<bool> write_elementwise(Writer& writer, const Node& node);
Result<bool> write_along(Writer& writer, const Node& node);
Result<bool> write_movement(Writer& writer, const Node& node);
Result<bool> write_index(Writer& writer, const Node& node);
Result<bool> write_sequence(Writer& writer, const Node& node);
/// function(x), as `output`.
void write_unary(Writer& writer, ops::Function function, const Attributes& attributes, const std::string& x,
                 const std::string& output);

}  // namespace trainyard::graph::onnx_file
