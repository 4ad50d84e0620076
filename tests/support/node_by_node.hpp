// Evaluates a graph one node after the other, each result in memory of its own: what a Program, which reuses
// and views memory, has to give to the last bit. Test code; link trainyard_graph.
#pragma once

#include <memory>
#include <vector>

#include "common/graph/graph.hpp"
#include "common/ops/backend.hpp"
#include "common/tensor/buffer.hpp"

namespace trainyard::graph::test {

/// What a run reads: flat floats of the parameters, and the externals in their order.
struct Given {
  std::vector<float> parameters;
  std::vector<std::vector<std::byte>> externals;
};

/// What it leaves, row major: the results' bytes, and the flat gradients, not-a-number where nothing is
/// written.
struct Left {
  std::vector<std::vector<std::byte>> results;
  std::vector<float> gradients;
};

/// Fails the test when the backend has no kernel.
Left run_node_by_node(const Graph& graph, std::uint32_t batch, const ops::Backend& backend, Given& given);
/// The same by a Program, in an arena whose bytes are all `poison` at first.
Left run_program(const Graph& graph, std::uint32_t batch, const ops::Backend& backend, Given& given,
                 unsigned char poison);

bool same_bits(const Left& a, const Left& b);

}  // namespace trainyard::graph::test
