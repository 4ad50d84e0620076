// Export to ONNX: operator set 17, as onnx/defs describes the operators.
#include <algorithm>

#include "common/base/text.hpp"
#include "common/graph/network.hpp"
#include "onnx/onnx.pb.h"

namespace trainyard::graph {

namespace {

constexpr int ir_version = 8, opset = 17;  // opset 17 came with ir version 8 (ONNX 1.12)

class Exporter {
 public:
  explicit Exporter(Network& network)
      : network_(network),
        model_(network.model()),
        graph_(inference_graph(model_)),
        names_(graph_.values.size()) {
    out_.set_ir_version(ir_version);
    out_.set_producer_name("trainyard");
    out_.set_producer_version(TRAINYARD_VERSION);
    auto* version = out_.add_opset_import();
    version->set_domain("");
    version->set_version(opset);
    out().set_name("network");
  }

  Result<std::string> run() {
    for (ValueId id = 0; id < graph_.values.size(); ++id) name(id);
    for (const Node& node : graph_.nodes)
      if (const Status done = add(node); !done) return done.error();
    const ValueId result = graph_.results[0];
    auto* softmax = this->node("Softmax", {names_[result]}, "probabilities");
    attribute(*softmax, "axis", std::int64_t{1});
    declare(*out().add_output(), "probabilities", graph_.signature(result));
    return out_.SerializeAsString();
  }

 private:
  onnx::GraphProto& out() { return *out_.mutable_graph(); }

  static void declare(onnx::ValueInfoProto& value, const std::string& name, const Signature& of) {
    value.set_name(name);
    auto* type = value.mutable_type()->mutable_tensor_type();
    type->set_elem_type(onnx::TensorProto::FLOAT);
    for (const std::int64_t dim : of.shape.dims()) {
      auto* out = type->mutable_shape()->add_dim();
      if (dim == tensor::kBatch) {
        out->set_dim_param("batch");
      } else {
        out->set_dim_value(dim);
      }
    }
  }

  /// Names a value; parameters become initializers, externals inputs.
  void name(ValueId id) {
    const Value& value = graph_.values[id];
    names_[id] = format("x{}", id);
    if (value.place == Place::external) {
      names_[id] = graph_.externals[value.offset].name;
      declare(*out().add_input(), names_[id], value.of);
    } else if (value.place == Place::parameter) {
      const auto info = std::find_if(model_.tensors.begin(), model_.tensors.end(),
                                     [&](const TensorInfo& t) { return t.offset == value.offset; });
      check(info != model_.tensors.end(), "a parameter of the graph is a tensor of the model");
      names_[id] = info->name;
      auto* tensor = out().add_initializer();
      tensor->set_name(info->name);
      tensor->set_data_type(onnx::TensorProto::FLOAT);
      for (const std::int64_t dim : info->shape) tensor->add_dims(dim);
      const auto values = network_.values().subspan(info->offset, info->length);
      tensor->set_raw_data(values.data(), values.size_bytes());
    }
  }

  onnx::NodeProto* node(const char* kind, const std::vector<std::string>& inputs, const std::string& output) {
    auto* made = out().add_node();
    made->set_op_type(kind);
    made->set_name(format("{}_{}", kind, out().node_size()));
    for (const std::string& input : inputs) made->add_input(input);
    made->add_output(output);
    return made;
  }

  static void attribute(onnx::NodeProto& node, const char* name, std::int64_t value) {
    auto* out = node.add_attribute();
    out->set_name(name);
    out->set_type(onnx::AttributeProto::INT);
    out->set_i(value);
  }
  static void attribute(onnx::NodeProto& node, const char* name, float value) {
    auto* out = node.add_attribute();
    out->set_name(name);
    out->set_type(onnx::AttributeProto::FLOAT);
    out->set_f(value);
  }
  static void attribute(onnx::NodeProto& node, const char* name, std::initializer_list<std::int64_t> values) {
    auto* out = node.add_attribute();
    out->set_name(name);
    out->set_type(onnx::AttributeProto::INTS);
    for (const std::int64_t value : values) out->add_ints(value);
  }

  static void window(onnx::NodeProto& node, const Attributes& a) {
    attribute(node, "kernel_shape", {a.kernel_height, a.kernel_width});
    attribute(node, "strides", {a.stride_height, a.stride_width});
    attribute(node, "pads", {a.pad_top, a.pad_left, a.pad_bottom, a.pad_right});
  }

  std::vector<std::string> names_of(const std::vector<ValueId>& ids) const {
    std::vector<std::string> names;
    for (const ValueId id : ids) names.push_back(names_[id]);
    return names;
  }

  Status add(const Node& at) {
    const std::string& y = names_[at.outputs[0]];
    const std::vector<std::string> inputs = names_of(at.inputs);
    switch (at.kind) {
      case Kind::conv2d:
        window(*node("Conv", inputs, y), at.attributes);
        return {};
      case Kind::batch_norm:
        attribute(*node("BatchNormalization", inputs, y), "epsilon",
                  static_cast<float>(at.attributes.epsilon));
        return {};
      case Kind::max_pool:
        window(*node("MaxPool", inputs, y), at.attributes);
        return {};
      case Kind::avg_pool:
        window(*node("AveragePool", inputs, y), at.attributes);
        return {};
      case Kind::reshape:
        node("Flatten", inputs, y);
        return {};
      case Kind::dense: {
        std::vector<std::string> operands = inputs;
        if (graph_.shape(at.inputs[0]).rank() != 2) {
          operands[0] = y + "_flat";
          node("Flatten", {inputs[0]}, operands[0]);
        }
        attribute(*node("Gemm", operands, y), "transB", std::int64_t{1});
        return {};
      }
      case Kind::unary:
        if (at.attributes.function == ops::Function::relu) {
          node("Relu", inputs, y);
          return {};
        }
        [[fallthrough]];
      default:
        return Error{Errc::refused, format("{} has no counterpart in ONNX yet", ops::name_of(at.kind))};
    }
  }

  Network& network_;
  const Model& model_;
  const Graph graph_;
  std::vector<std::string> names_;
  onnx::ModelProto out_;
};

}  // namespace

Result<std::string> to_onnx(Network& network) {
  constexpr std::uint64_t protobuf_bytes_max = 2'000'000'000;
  const std::uint64_t bytes = network.model().length * sizeof(float);
  if (bytes > protobuf_bytes_max)
    return Error{Errc::refused, format("ONNX files end at 2 GB, the weights take {}", size_text(bytes))};
  return Exporter(network).run();
}

}  // namespace trainyard::graph
