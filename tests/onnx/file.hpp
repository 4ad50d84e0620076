// ONNX files made by hand, for tests: whole ones and broken ones. A value.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "onnx/onnx.pb.h"

namespace trainyard::graph::test {

using Dims = std::vector<std::int64_t>;
using Names = std::vector<std::string>;

class File {
 public:
  explicit File(int opset = 17, int ir_version = 8) {
    model_.set_ir_version(ir_version);
    auto* set = model_.add_opset_import();
    set->set_domain("");
    set->set_version(opset);
    graph().set_name("test");
  }

  onnx::ModelProto& model() { return model_; }
  onnx::GraphProto& graph() { return *model_.mutable_graph(); }

  /// Extents: numbers, or names of open ones.
  File& input(const std::string& name, const Names& dims, int type = onnx::TensorProto::FLOAT) {
    declare(*graph().add_input(), name, dims, type);
    return *this;
  }
  File& output(const std::string& name) {
    declare(*graph().add_output(), name, {}, onnx::TensorProto::FLOAT);
    graph().mutable_output()->rbegin()->mutable_type()->mutable_tensor_type()->clear_shape();
    return *this;
  }
  File& floats(const std::string& name, const Dims& dims, const std::vector<float>& values) {
    fill(*graph().add_initializer(), name, dims, onnx::TensorProto::FLOAT, values.data(), values.size() * 4);
    return *this;
  }
  File& integers(const std::string& name, const Dims& dims, const std::vector<std::int64_t>& values) {
    fill(*graph().add_initializer(), name, dims, onnx::TensorProto::INT64, values.data(), values.size() * 8);
    return *this;
  }
  onnx::TensorProto& initializer(int index) { return *graph().mutable_initializer(index); }

  onnx::NodeProto& node(const std::string& kind, const Names& inputs, const Names& outputs,
                        const std::string& name = "") {
    auto& made = *graph().add_node();
    made.set_op_type(kind);
    made.set_name(name);
    for (const auto& one : inputs) made.add_input(one);
    for (const auto& one : outputs) made.add_output(one);
    return made;
  }
  static void set(onnx::NodeProto& node, const char* name, std::int64_t value) {
    auto& out = add(node, name, onnx::AttributeProto::INT);
    out.set_i(value);
  }
  static void set(onnx::NodeProto& node, const char* name, const Dims& values) {
    auto& out = add(node, name, onnx::AttributeProto::INTS);
    for (const auto value : values) out.add_ints(value);
  }
  static void set(onnx::NodeProto& node, const char* name, float value) {
    add(node, name, onnx::AttributeProto::FLOAT).set_f(value);
  }
  static void set(onnx::NodeProto& node, const char* name, const char* value) {
    add(node, name, onnx::AttributeProto::STRING).set_s(value);
  }

  std::string bytes() const { return model_.SerializeAsString(); }

 private:
  static onnx::AttributeProto& add(onnx::NodeProto& node, const char* name,
                                   onnx::AttributeProto::AttributeType type) {
    auto& out = *node.add_attribute();
    out.set_name(name);
    out.set_type(type);
    return out;
  }
  static void declare(onnx::ValueInfoProto& value, const std::string& name, const Names& dims, int type) {
    value.set_name(name);
    auto* tensor = value.mutable_type()->mutable_tensor_type();
    tensor->set_elem_type(type);
    tensor->mutable_shape();
    for (const auto& dim : dims) {
      auto* made = tensor->mutable_shape()->add_dim();
      const bool number = !dim.empty() && dim.find_first_not_of("-0123456789") == std::string::npos;
      if (number)
        made->set_dim_value(std::stoll(dim));
      else if (!dim.empty())
        made->set_dim_param(dim);
    }
  }
  static void fill(onnx::TensorProto& tensor, const std::string& name, const Dims& dims, int type,
                   const void* data, std::size_t bytes) {
    tensor.set_name(name);
    tensor.set_data_type(type);
    for (const auto dim : dims) tensor.add_dims(dim);
    tensor.set_raw_data(data, bytes);
  }

  onnx::ModelProto model_;
};

}  // namespace trainyard::graph::test
