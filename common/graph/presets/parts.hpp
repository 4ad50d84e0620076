// What the families of presets share, and their entries. Private to common/graph.
#pragma once

#include "common/graph/compose/composer.hpp"
#include "common/graph/presets.hpp"

namespace trainyard::graph {

using config::PresetOptions;

/// What a preset is built from; `loss` is softmax_cross_entropy unless it says otherwise.
struct Draft {
  Composer& net;
  const PresetOptions& options;
  const DataShape& data;
  LossSpec& loss;
  std::int64_t classes() const { return data.classes; }
  ValueId image() { return net.input("input", signature_of(data.image)); }
};

struct ConvNorm {
  const char* conv = ".0";  // suffixes of the tensors' names
  const char* norm = ".1";
  BatchNorm batch_norm;
};
/// A convolution without bias and its batch_norm.
ValueId conv_norm(Composer& net, ValueId x, const std::string& name, Convolution c, const ConvNorm& n = {});
/// dense, activation, dropout for each of `hidden`; tensors PREFIX0, PREFIX1, ...
ValueId dense_stack(Composer& net, ValueId x, const std::string& prefix, const PresetOptions& options);
/// options.width of so many channels, a multiple of 8 and not below 0.9 of it (Sandler and others, 2018).
std::int64_t scaled_channels(double channels);

// Each gives the results of its network.
std::vector<ValueId> mlp(Draft& d);
std::vector<ValueId> lenet5(Draft& d);
std::vector<ValueId> alexnet(Draft& d);
std::vector<ValueId> vgg16(Draft& d);
std::vector<ValueId> inception_v3(Draft& d);
std::vector<ValueId> resnet18(Draft& d);
std::vector<ValueId> resnet20(Draft& d);
std::vector<ValueId> resnet50(Draft& d);
std::vector<ValueId> mobilenet_v2(Draft& d);
std::vector<ValueId> squeezenet_1_1(Draft& d);
std::vector<ValueId> text_cnn(Draft& d);
std::vector<ValueId> fasttext(Draft& d);
std::vector<ValueId> bilstm(Draft& d);
std::vector<ValueId> bilstm_crf(Draft& d);
std::vector<ValueId> transformer_encoder(Draft& d);
std::vector<ValueId> wide_deep(Draft& d);
std::vector<ValueId> deepfm(Draft& d);

}  // namespace trainyard::graph
