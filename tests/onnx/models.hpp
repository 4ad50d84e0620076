// Small models with an open batch that together hold what export writes and no single-operator case has. Test
// code.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/base/random.hpp"
#include "common/graph/model.hpp"

namespace trainyard::graph::test {

struct Example {
  std::string name;
  Model model;
  std::vector<Shape> inputs;  // of its inputs, the batch open
};

/// All of them; their tensors have values.
std::vector<Example> examples();

}  // namespace trainyard::graph::test
