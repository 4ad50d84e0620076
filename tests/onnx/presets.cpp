#include "tests/onnx/presets.hpp"

#include "common/base/random.hpp"
#include "common/config/presets.hpp"
#include "common/graph/presets.hpp"

namespace trainyard::graph::test {
namespace {

/// Numbers that fit an input of a preset: whole ones from 1 to below `below`.
Constant input_of(const External& external, std::int64_t batch, std::uint64_t below) {
  Random random(11);
  Numbers x{external.of.shape.with_batch(batch).dims(), {}};
  const bool real = external.of.type == DType::f32;
  for (std::int64_t i = 0; i < Shape(x.dims).elements(); ++i)
    x.values.push_back(real ? random.uniform(-1, 1) : 1 + static_cast<double>(random.below(below - 1)));
  return constant_of(x, external.of.type);
}

DataShape data_of(config::PresetInput input) {
  if (input == config::PresetInput::image) return {.image = {3, 64, 64}, .classes = 5};
  if (input == config::PresetInput::text) return {.steps = 9, .vocabulary = 30, .classes = 4};
  return {.vocabulary = 30, .numbers = 3, .categories = 4, .classes = 3};
}

}  // namespace

std::vector<std::string> small_presets() {
  std::vector<std::string> names;
  for (const std::string& name : config::preset_names()) {
    const bool large =
        name.starts_with("vgg") || name == "alexnet" || name == "inception_v3" || name == "resnet50";
    if (!large) names.push_back(name);
  }
  return names;
}

Result<Preset> preset_of(const std::string& name, std::int64_t batch) {
  const auto* info = config::find_preset(name);
  auto made = preset_model(name, info->defaults, data_of(info->input), static_cast<std::uint32_t>(batch));
  if (!made) return made.error();
  Preset preset{std::move(made->model), {}, {}};
  draw_initial(preset.model, 3, preset.values);
  for (const External& external : preset.model.graph.externals)
    preset.inputs.push_back(input_of(external, batch, external.name == "lengths" ? 9 : 30));
  return preset;
}

}  // namespace trainyard::graph::test
