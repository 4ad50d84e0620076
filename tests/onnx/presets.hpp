// The presets as models to export: small data, values drawn, inputs that fit. Test code of one thread.
#pragma once

#include <string>
#include <vector>

#include "common/graph/model.hpp"
#include "tests/onnx/runner.hpp"

namespace trainyard::graph::test {

/// Names of those that are small enough for a test.
std::vector<std::string> small_presets();

struct Preset {
  Model model;
  std::vector<float> values;     // of its tensors
  std::vector<Constant> inputs;  // of a batch
};
Result<Preset> preset_of(const std::string& name, std::int64_t batch);

}  // namespace trainyard::graph::test
