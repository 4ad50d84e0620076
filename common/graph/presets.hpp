// Networks by name, with the tensors' shapes of PyTorch and torchvision's names where it has the network, so
// that its weights load. Options and defaults are config's (config/presets.hpp); one family a file in
// presets/.
#pragma once

#include <string>

#include "common/config/layer_spec.hpp"
#include "common/graph/autodiff.hpp"
#include "common/graph/layers.hpp"

namespace trainyard::graph {

/// What the data say about themselves; a preset looks at what it reads.
struct DataShape {
  InputShape image{0, 0, 0};
  std::int64_t steps = 0;                    // text: tokens of a sample, at most
  std::int64_t vocabulary = 0;               // text, tables: whole numbers are below it
  std::int64_t numbers = 0, categories = 0;  // tables: columns of real and of whole numbers
  std::uint32_t classes = 2;                 // bilstm_crf: tags
};

struct PresetModel {
  Model model;
  LossSpec loss;
};

/// Inputs in their order: of images "input" [N, C, H, W]; of text "ids" int32 [N, steps] and "lengths" int32
/// [N]; of tables "numbers" [N, numbers] and "categories" int32 [N, categories], each where there are
/// columns. Categories share one table of `vocabulary` rows. Results: a score a class; of tables with two
/// classes one score for the second, with sigmoid_cross_entropy; of bilstm_crf emissions [N, steps, classes],
/// transitions and lengths, as crf_loss takes them.
Result<PresetModel> preset_model(const std::string& name, const config::PresetOptions& options,
                                 const DataShape& data, std::uint32_t batch_max);

}  // namespace trainyard::graph
