// The networks of the engine's benchmark by name, as engine.py builds them in PyTorch.
#pragma once

#include <string>

#include "common/graph/model.hpp"

namespace trainyard::bench {

struct BenchModel {
  graph::Model model;
  std::uint32_t classes = 10;
};

/// lenet5, mlp, resnet20, resnet18, mobilenet_v2.
Result<BenchModel> bench_model(const std::string& name, std::uint32_t batch);

}  // namespace trainyard::bench
