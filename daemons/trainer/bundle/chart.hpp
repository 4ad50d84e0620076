// Curves over the epochs as SVG for a page whose style sheet knows the colours --one and --two. Pure text.
#pragma once

#include <span>
#include <string>

#include "daemons/trainer/chief.hpp"

namespace trainyard::trainer {

struct Chart {
  const char* title;
  const char* first;  // metrics of the rows
  const char* second;
  double top = 0;  // of the axis, which begins at 0; 0: as the values need
};

/// A <figure>; empty when no row has a value above 0.
std::string chart_svg(const Chart& chart, std::span<const EpochRow> history);

/// The distance between the lines of an axis from 0 to `most`: 1, 2 or 5 times a power of ten, so that there
/// are at most 5 of them. `most` > 0.
double tick_of(double most);

}  // namespace trainyard::trainer
