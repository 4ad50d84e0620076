// Places the boxes of a drawing in layers from top to bottom (Sugiyama, Tagawa, Toda, 1981): layers by the
// longest way from a source, fewer crossings by barycentres, then positions as near to the neighbours as the
// order allows. Pure; the same input gives the same drawing.
#pragma once

#include <cstddef>
#include <vector>

namespace trainyard::graph {

struct Point {
  double x = 0, y = 0;
};
struct BoxSize {
  double width = 0, height = 0;
};
struct Arrow {
  std::size_t from = 0, to = 0;  // from < to
};

struct Layout {
  std::vector<Point> centers;  // of boxes
  std::vector<std::vector<Point>>
      routes;  // of arrows: from the lower edge of a box to the upper one of another
  double width = 0, height = 0;
};

/// Boxes come in an order in which every arrow leads forward. Cost grows with the number of arrows and the
/// layers that they cross.
Layout layered_layout(const std::vector<BoxSize>& boxes, const std::vector<Arrow>& arrows);

}  // namespace trainyard::graph
