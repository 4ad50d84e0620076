// The presets by name: what each reads and which options it has. How they are built is graph's.
#pragma once

#include <string>
#include <vector>

#include "common/config/layer_spec.hpp"

namespace trainyard::config {

struct PresetInfo {
  std::string name, doc;
  PresetInput input = PresetInput::image;
  std::vector<std::string> options;  // keys of the model section
  PresetOptions defaults;
  std::string usual_input;          // as `trainyard inspect --input` takes it
  std::uint32_t usual_classes = 2;  // of the data that it was made for
};

/// In the order in which the reference page lists them.
const std::vector<PresetInfo>& preset_infos();
/// Null when there is none of that name.
const PresetInfo* find_preset(const std::string& name);
std::vector<std::string> preset_names();
/// "images", "text", "tables"
const char* input_name(PresetInput input);

}  // namespace trainyard::config
