// Export to ONNX: operator set 17, as onnx/defs describes the operators.
#include <cstring>

#include "common/base/text.hpp"
#include "common/graph/network.hpp"
#include "common/graph/shapes.hpp"
#include "common/ops/backend.hpp"
#include "onnx/onnx.pb.h"

namespace trainyard::graph {

namespace {

using LayerKind = config::Layer::Kind;

constexpr int ir_version = 8, opset = 17;  // opset 17 came with ir version 8 (ONNX 1.12)

class Exporter {
 public:
  Exporter(Network& network, const config::ModelSection& model, const ModelShapes& shapes)
      : network_(network), model_(model), shapes_(shapes) {
    out_.set_ir_version(ir_version);
    out_.set_producer_name("trainyard");
    out_.set_producer_version(TRAINYARD_VERSION);
    auto* version = out_.add_opset_import();
    version->set_domain("");
    version->set_version(opset);
    graph().set_name("network");
  }

  std::string run() {
    const InputShape in = network_.input();
    declare(*graph().add_input(), "input", {tensor::kBatch, in.channels, in.height, in.width});
    for (layer_ = 0; layer_ < model_.layers.size(); ++layer_) add(model_.layers[layer_]);
    if (shapes_.layers.back().output.rank() != 2) node("Flatten", {x_});
    auto* softmax = node("Softmax", {x_});
    attribute(*softmax, "axis", std::int64_t{1});
    softmax->set_output(0, "probabilities");
    declare(*graph().add_output(), "probabilities", {tensor::kBatch, network_.classes()});
    return out_.SerializeAsString();
  }

 private:
  onnx::GraphProto& graph() { return *out_.mutable_graph(); }
  const LayerShapes& at() const { return shapes_.layers[layer_]; }

  static void declare(onnx::ValueInfoProto& value, const char* name, const std::vector<std::int64_t>& dims) {
    value.set_name(name);
    auto* type = value.mutable_type()->mutable_tensor_type();
    type->set_elem_type(onnx::TensorProto::FLOAT);
    for (const std::int64_t dim : dims) {
      auto* out = type->mutable_shape()->add_dim();
      if (dim == tensor::kBatch) {
        out->set_dim_param("batch");
      } else {
        out->set_dim_value(dim);
      }
    }
  }

  onnx::NodeProto* node(const char* kind, const std::vector<std::string>& inputs) {
    auto* out = graph().add_node();
    out->set_op_type(kind);
    out->set_name(format("{}_{}", kind, graph().node_size()));
    for (const std::string& input : inputs) out->add_input(input);
    x_ = format("x{}", graph().node_size());
    out->add_output(x_);
    return out;
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

  /// Tensor `index` of this layer as an initializer; gives its name.
  std::string parameter(std::size_t index) {
    const TensorInfo& info = shapes_.tensors[at().tensor_first + index];
    auto* out = graph().add_initializer();
    out->set_name(info.name);
    out->set_data_type(onnx::TensorProto::FLOAT);
    for (const std::int64_t dim : info.shape) out->add_dims(dim);
    const auto values = network_.values().subspan(info.offset, info.length);
    out->set_raw_data(values.data(), values.size_bytes());
    return info.name;
  }

  void window(onnx::NodeProto& node) {
    const ops::Attributes& a = at().attributes;
    attribute(node, "kernel_shape", {a.kernel_height, a.kernel_width});
    attribute(node, "strides", {a.stride, a.stride});
    attribute(node, "pads", {a.pad_top, a.pad_left, a.pad_bottom, a.pad_right});
  }

  void add(const config::Layer& layer) {
    switch (layer.kind) {
      case LayerKind::conv2d: {
        std::vector<std::string> inputs{x_};
        for (std::size_t i = 0; i < at().tensor_count; ++i) inputs.push_back(parameter(i));
        return window(*node("Conv", inputs));
      }
      case LayerKind::batch_norm: {
        const std::string scale = parameter(0), shift = parameter(1), mean = parameter(2),
                          variance = parameter(3);
        attribute(*node("BatchNormalization", {x_, scale, shift, mean, variance}), "epsilon",
                  static_cast<float>(ops::kBatchNormEpsilon));
        return;
      }
      case LayerKind::relu:
        node("Relu", {x_});
        return;
      case LayerKind::max_pool:
        return window(*node("MaxPool", {x_}));
      case LayerKind::avg_pool:
        return window(*node("AveragePool", {x_}));
      case LayerKind::global_avg_pool:
        node("GlobalAveragePool", {x_});
        return;
      case LayerKind::flatten:
        node("Flatten", {x_});
        return;
      case LayerKind::dense: {
        if (at().input.rank() != 2) node("Flatten", {x_});
        std::vector<std::string> inputs{x_};
        for (std::size_t i = 0; i < at().tensor_count; ++i) inputs.push_back(parameter(i));
        attribute(*node("Gemm", inputs), "transB", std::int64_t{1});
        return;
      }
      case LayerKind::dropout:
        return;  // does nothing outside training
    }
  }

  Network& network_;
  const config::ModelSection& model_;
  const ModelShapes& shapes_;
  onnx::ModelProto out_;
  std::string x_ = "input";
  std::size_t layer_ = 0;
};

}  // namespace

Result<std::string> to_onnx(Network& network, const config::ModelSection& model) {
  const auto shapes = infer_shapes(model, network.input(), network.classes(), 1);
  if (!shapes) return shapes.error();
  constexpr std::uint64_t protobuf_bytes_max = 2'000'000'000;
  if (shapes->length * sizeof(float) > protobuf_bytes_max)
    return Error{Errc::refused, format("ONNX files end at 2 GB, the weights take {}",
                                       size_text(shapes->length * sizeof(float)))};
  return Exporter(network, model, *shapes).run();
}

}  // namespace trainyard::graph
