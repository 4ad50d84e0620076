// Where the first number that is not finite comes from: the inputs, the values of the network, or an
// operator. One thread, that of the network.
#pragma once

#include <span>
#include <string>

#include "common/graph/network.hpp"

namespace trainyard::graph {

/// No infinity and no not-a-number; as fast as memory is read.
bool all_finite(std::span<const float> values);

/// The same of all gradients of the last step; `row_widths` are the network's.
bool finite_gradients(const Network& network, std::span<const std::uint64_t> row_widths);

struct NotFinite {
  enum class Source { nothing, data, values, operation } source = Source::nothing;
  std::string text;  // "the first infinity comes from exp of model.layers[3] (12:7), in 2 of 320 values"
};

/// Runs a step again that gave a loss or gradients that are not finite, and looks at every result. Values
/// stay as they are; gradients are made again. Slow.
NotFinite not_finite_cause(Network& network, const Feed& feed);

}  // namespace trainyard::graph
