// From the model section of a job file, its layers or its preset, to a model. Here every impossible network
// is refused, with the layer's place and what would fit.
#pragma once

#include <string>

#include "common/base/result.hpp"
#include "common/config/job_spec.hpp"
#include "common/graph/model.hpp"

namespace trainyard::graph {

inline constexpr std::size_t kLayersMax = 4096;  // repeats counted

struct InputShape {
  std::int64_t channels = 3, height = 0, width = 0;
  friend bool operator==(const InputShape&, const InputShape&) = default;
};

/// The images [N, channels, height, width].
Signature signature_of(const InputShape& input);

/// A classifier with one score a class. `input` is what the data give: images, a sequence [N, T, F], numbers
/// [N, F], or whole numbers [N, T] for an embedding. `batch_max` bounds the size of activations. Padding same
/// puts the odd row or column at the bottom and the right (ONNX: SAME_UPPER). Tensors are named after their
/// layers, or counted: "stem.weight", "conv1.weight", "bn2.running_mean", "repeat1.0.dense1.bias".
Result<Model> model_of(const config::ModelSection& section, const Signature& input, std::uint32_t classes,
                       std::uint32_t batch_max);
Result<Model> model_of(const config::ModelSection& section, InputShape input, std::uint32_t classes,
                       std::uint32_t batch_max);

}  // namespace trainyard::graph
