// From the layers of a job file to a model. Here every impossible network is refused, with the layer's place.
#pragma once

#include <string>

#include "common/base/result.hpp"
#include "common/config/job_spec.hpp"
#include "common/graph/model.hpp"

namespace trainyard::graph {

inline constexpr std::size_t kLayersMax = 1024;

struct InputShape {
  std::int64_t channels = 3, height = 0, width = 0;
  friend bool operator==(const InputShape&, const InputShape&) = default;
};

/// "conv2d", "batch_norm": the names of the job file.
const char* layer_name(config::Layer::Kind kind);
/// "model.layers[3] (12:7)"; without the place when it is not known.
std::string layer_place(const config::ModelSection& model, std::size_t index);

/// A classifier of images [N, channels, height, width] with one score a class. `batch_max` bounds the size of
/// activations. Convolutions with padding same put the odd row or column at the bottom and the right (ONNX:
/// SAME_UPPER); pools have windows inside the input only. Tensors are named after their layers and counted:
/// "conv1.weight", "bn2.running_mean", "dense1.bias".
Result<Model> model_of(const config::ModelSection& section, InputShape input, std::uint32_t classes,
                       std::uint32_t batch_max);

}  // namespace trainyard::graph
