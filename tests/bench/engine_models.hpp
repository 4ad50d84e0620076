// The networks of the engine's benchmark by name, as engine.py builds them in PyTorch.
#pragma once

#include <string>

#include "common/graph/model.hpp"

namespace trainyard::bench {

struct BenchModel {
  graph::Model model;
  std::uint32_t classes = 10;
  std::uint32_t vocabulary = 0;  // whole numbers of inputs are below it
  std::uint32_t bag = 0;         // ids a sample; their table is stepped by rows, all by adagrad
};

/// lenet5, mlp, bilstm, transformer, embedding_bag, resnet20, resnet18, resnet50, mobilenet_v2.
Result<BenchModel> bench_model(const std::string& name, std::uint32_t batch);

}  // namespace trainyard::bench
