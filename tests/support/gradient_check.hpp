// Holds the gradients of a graph against differences of its values: a Builder's graph is differentiated,
// bound to the reference backend in double precision, and each element of each trainable parameter is moved a
// little. Test code; link trainyard_graph.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "common/graph/autodiff.hpp"
#include "common/graph/model.hpp"
#include "common/ops/backend.hpp"

namespace trainyard::graph::test {

struct GradientCase {
  /// Adds parameters and operations; gives the results, which are weighed by random seeds.
  std::function<std::vector<ValueId>(Builder&)> build;
  std::uint32_t batch = 3;
  double low = -1, high = 1;  // parameters and inputs are drawn from here
  /// Values of parameters and inputs by name; what is not named is drawn. Whole numbers have to be named.
  std::map<std::string, std::vector<double>> values;
  std::uint64_t seed = 1;
  double step = 1e-5, tolerance = 1e-6;  // relative to the gradient, or to 1 when that is larger
  /// Called with the graph of the model before it is differentiated: to freeze a parameter.
  std::function<void(Graph&)> change = nullptr;
};

/// Requires agreement; also that every trainable parameter in front of a result has a gradient, and that
/// nothing else is written. Gives the differentiated graph.
Graph check_gradients(const GradientCase& at);

/// A trainable weight; fails the test when the model refuses it.
ValueId weight(Builder& builder, const std::string& name, std::vector<std::int64_t> shape);
/// Adds an operation; fails the test when it is refused.
ValueId apply(Builder& builder, Kind kind, const Attributes& attributes, std::vector<ValueId> inputs);

}  // namespace trainyard::graph::test
