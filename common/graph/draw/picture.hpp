// What a drawing of a model shows: layers as boxes, with those behind them that only touch values folded in.
// Private to common/graph/draw.
#pragma once

#include <string>
#include <vector>

#include "common/graph/draw/layout.hpp"
#include "common/graph/model.hpp"

namespace trainyard::graph {

struct Box {
  enum class Family { input, linear, norm, activation, pool, movement, merge, sequence, output };
  Family family = Family::movement;
  std::string title;   // "conv2d 3x3, 64"
  std::string more;    // "batch_norm, relu"
  std::string name;    // "layer1.0.conv1"
  std::string result;  // "64 x 56 x 56"
  std::string group;   // "layer1.0"; empty: it stands alone
};

struct Picture {
  std::vector<Box> boxes;
  std::vector<Arrow> arrows;
};

Picture picture_of(const Model& model);

}  // namespace trainyard::graph
