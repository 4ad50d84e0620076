#include "common/graph/graph.hpp"

#include "common/base/random.hpp"

namespace trainyard::graph {

namespace {

using ops::Kind;
using LayerKind = config::Layer::Kind;

class Builder {
 public:
  Builder(const config::ModelSection& model, const ModelShapes& shapes, InputShape input, bool training,
          std::uint64_t seed)
      : model_(model), shapes_(shapes), training_(training), seed_(seed) {
    x_ = graph_.add({{tensor::kBatch, input.channels, input.height, input.width}, Place::images});
  }

  Graph run() {
    for (layer_ = 0; layer_ < model_.layers.size(); ++layer_) add(model_.layers[layer_]);
    if (!training_) x_ = node(Kind::softmax, {}, {x_}, {shape()});
    graph_.result = x_;
    return std::move(graph_);
  }

 private:
  Shape shape() const { return shapes_.layers.back().output; }
  const LayerShapes& at() const { return shapes_.layers[layer_]; }

  /// Tensor `index` of this layer as an input.
  ValueId parameter(std::size_t index, Place place = Place::parameter) {
    const TensorInfo& info = shapes_.tensors[at().tensor_first + index];
    return graph_.add({Shape(info.shape), place, info.offset});
  }

  /// Adds a node; gives its first output.
  ValueId node(Kind kind, const ops::Attributes& attributes, std::vector<ValueId> inputs,
               const std::vector<Shape>& outputs) {
    Node node{kind, attributes, std::move(inputs), {}, layer_};
    for (const Shape& shape : outputs) node.outputs.push_back(graph_.add({shape}));
    graph_.nodes.push_back(std::move(node));
    return graph_.nodes.back().outputs[0];
  }

  void add(const config::Layer& layer) {
    const ops::Attributes& attributes = at().attributes;
    switch (layer.kind) {
      case LayerKind::conv2d:
      case LayerKind::dense: {
        std::vector<ValueId> inputs{x_};
        for (std::size_t i = 0; i < at().tensor_count; ++i) inputs.push_back(parameter(i));
        const Kind kind = layer.kind == LayerKind::conv2d ? Kind::conv2d : Kind::dense;
        x_ = node(kind, attributes, std::move(inputs), {at().output});
        return;
      }
      case LayerKind::batch_norm:
        return batch_norm();
      case LayerKind::relu:
        x_ = node(Kind::relu, attributes, {x_}, {at().output});
        return;
      case LayerKind::max_pool:
        return pool(Kind::max_pool);
      case LayerKind::avg_pool:
      case LayerKind::global_avg_pool:
        return pool(Kind::avg_pool);
      case LayerKind::flatten:
        if (at().input != at().output) x_ = node(Kind::flatten, attributes, {x_}, {at().output});
        return;
      case LayerKind::dropout:
        return dropout();
    }
  }

  void batch_norm() {
    ops::Attributes attributes = at().attributes;
    const std::size_t here = layer_;
    attributes.relu = here + 1 < model_.layers.size() && model_.layers[here + 1].kind == LayerKind::relu;
    const Shape per_channel{at().input[1]};
    std::vector<ValueId> inputs{x_};
    for (std::size_t i = 0; i < 4; ++i) inputs.push_back(parameter(i));
    if (!training_) {
      x_ = node(Kind::batch_norm_inference, attributes, std::move(inputs), {at().output});
    } else {
      std::vector<Shape> outputs{at().output, per_channel, per_channel};
      if (attributes.relu) outputs.emplace_back();
      x_ = node(Kind::batch_norm, attributes, std::move(inputs), outputs);
      const ValueId mean = parameter(2, Place::gradient), variance = parameter(3, Place::gradient);
      graph_.nodes.back().outputs.push_back(mean);
      graph_.nodes.back().outputs.push_back(variance);
    }
    if (attributes.relu) ++layer_;
  }

  void pool(Kind kind) {
    ops::Attributes attributes = at().attributes;
    attributes.workspace = training_;
    std::vector<Shape> outputs{at().output};
    if (training_) outputs.emplace_back();
    x_ = node(kind, attributes, {x_}, outputs);
  }

  void dropout() {
    if (!training_ || at().attributes.rate == 0) return;
    ops::Attributes attributes = at().attributes;
    attributes.seed = mix(seed_, layer_);
    const ValueId keys = graph_.add({{}, Place::keys}), step = graph_.add({{}, Place::step});
    x_ = node(Kind::dropout, attributes, {x_, keys, step}, {at().output});
  }

  const config::ModelSection& model_;
  const ModelShapes& shapes_;
  const bool training_;
  const std::uint64_t seed_;
  Graph graph_;
  ValueId x_ = 0;
  std::size_t layer_ = 0;
};

}  // namespace

Graph forward_graph(const config::ModelSection& model, const ModelShapes& shapes, InputShape input,
                    std::uint64_t seed) {
  return Builder(model, shapes, input, true, seed).run();
}

Graph inference_graph(const config::ModelSection& model, const ModelShapes& shapes, InputShape input) {
  return Builder(model, shapes, input, false, 0).run();
}

}  // namespace trainyard::graph
