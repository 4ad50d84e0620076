// Graphs of random operations over small images and rows, for tests of what holds for every graph. Test code;
// link trainyard_graph.
#pragma once

#include "common/base/random.hpp"
#include "common/graph/model.hpp"
#include "tests/support/node_by_node.hpp"

namespace trainyard::graph::test {

/// A model of about `nodes` operations: values are used once, twice or never, viewed and handed out as
/// results.
Model random_model(Random& random, std::size_t nodes);
/// Random values for everything that the graph reads.
Given random_values(Random& random, const Graph& graph, std::uint64_t parameters, std::uint32_t batch);

}  // namespace trainyard::graph::test
