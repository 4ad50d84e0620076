#include "common/graph/layers.hpp"

#include "common/base/text.hpp"
#include "common/graph/fine_tune.hpp"
#include "common/graph/layers/layer_builder.hpp"
#include "common/graph/presets.hpp"

namespace trainyard::graph {

Signature signature_of(const InputShape& input) {
  return Signature({tensor::kBatch, input.channels, input.height, input.width});
}

Result<Model> model_of(const config::ModelSection& section, const Signature& input, std::uint32_t classes,
                       std::uint32_t batch_max) {
  const Shape& shape = input.shape;
  for (std::size_t axis = 1; axis < shape.rank(); ++axis)
    if (shape[axis] < 1)
      return Error{Errc::invalid, format("the input is {}{}; each extent has to be at least 1", shape.text(),
                                         shape.rank() == 4 ? " (batch, channels, height, width)" : "")};
  if (shape.rank() < 2 || shape[0] != tensor::kBatch)
    return Error{Errc::invalid, format("the input is {}; it begins with the batch", shape.text())};
  if (classes < 2)
    return Error{Errc::invalid, format("the data have {} classes; a classifier needs at least 2", classes)};
  if (batch_max < 1) return Error{Errc::invalid, "a batch has at least one sample"};
  if (!section.onnx.empty()) {
    auto imported = imported_model(section.onnx, section.head, input, classes, batch_max);
    if (!imported) return imported.error().with("model.onnx");
    return imported;
  }
  if (!section.preset.empty()) {
    if (shape.rank() != 4)
      return Error{Errc::invalid,
                   format("preset {} needs images, and the data give {}", section.preset, shape.text())};
    auto built = preset_model(section.preset, section.options,
                              {.image = {shape[1], shape[2], shape[3]}, .classes = classes}, batch_max);
    if (!built) return built.error();
    return std::move(built->model);
  }
  if (section.layers.empty()) return Error{Errc::invalid, "model.layers: there are no layers"};
  return LayerBuilder(section.layers, batch_max).run(input, classes);
}

Result<Model> model_of(const config::ModelSection& section, InputShape input, std::uint32_t classes,
                       std::uint32_t batch_max) {
  return model_of(section, signature_of(input), classes, batch_max);
}

}  // namespace trainyard::graph
