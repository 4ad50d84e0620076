// A picture of a model: boxes of layers, what leads to what, and frames around blocks; as a standalone SVG or
// as a file for Graphviz. Pure.
#pragma once

#include <string>

#include "common/graph/model.hpp"

namespace trainyard::graph {

/// `title` stands above the drawing.
std::string to_svg(const Model& model, const std::string& title);
std::string to_dot(const Model& model, const std::string& title);

}  // namespace trainyard::graph
