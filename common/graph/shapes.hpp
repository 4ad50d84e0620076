// Shape inference: what each layer of a model section gets and gives, and which tensors it owns. Pure
// functions of the section, the input and the number of classes; here every impossible model is refused, with
// the layer's place.
#pragma once

#include <string>
#include <vector>

#include "common/base/result.hpp"
#include "common/config/job_spec.hpp"
#include "common/graph/network.hpp"
#include "common/ops/backend.hpp"
#include "common/tensor/shape.hpp"

namespace trainyard::graph {

using tensor::Shape;

inline constexpr std::size_t kLayersMax = 1024;
inline constexpr std::uint64_t kTensorBytesMax =
    4ull << 30;  // of an activation at the full batch, or of a parameter
inline constexpr std::uint64_t kParameterBytesMax = 16ull << 30;  // of all parameters together

/// One layer with its shapes; the batch is open.
struct LayerShapes {
  Shape input, output;
  ops::Attributes attributes;    // geometry and rate; the seed of dropout is the builder's
  std::size_t tensor_first = 0;  // in ModelShapes::tensors
  std::size_t tensor_count = 0;
};

struct ModelShapes {
  std::vector<LayerShapes> layers;  // one for each of model.layers
  std::vector<TensorInfo> tensors;  // layer order; a layer's weight, bias, running mean, running variance
  std::uint64_t length = 0;         // floats of all tensors, which lie without gaps
};

/// "conv2d", "batch_norm": the names of the job file.
const char* layer_name(config::Layer::Kind kind);
/// "model.layers[3] (12:7)"; without the place when it is not known.
std::string layer_place(const config::ModelSection& model, std::size_t index);

/// `batch_max` bounds the size of activations. Convolutions with padding same put the odd row or column at
/// the bottom and the right (ONNX: SAME_UPPER); pools have windows inside the input only.
Result<ModelShapes> infer_shapes(const config::ModelSection& model, InputShape input, std::uint32_t classes,
                                 std::uint32_t batch_max);

}  // namespace trainyard::graph
