// Which bytes of one arena a value gets: values that live at the same time never overlap. Pure. Greedy by
// size, as in Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020,
// section 5.2; where that is not the least that can be, what came to lie topmost is placed first and all is
// placed again, from other orders too, and the smallest arena is taken.
#pragma once

#include <cstddef>
#include <vector>

namespace trainyard::graph {

/// A value's life, in numbers of nodes, both ends included.
struct Life {
  std::size_t bytes = 0;
  std::size_t first = 0, last = 0;
};

struct Plan {
  std::vector<std::size_t> offsets;  // multiples of 64, in the order of the lives
  std::size_t bytes = 0;             // of the arena
};

Plan plan_memory(const std::vector<Life>& lives);

/// The most bytes that live at once: no plan can be smaller.
std::size_t live_bytes_max(const std::vector<Life>& lives);

}  // namespace trainyard::graph
