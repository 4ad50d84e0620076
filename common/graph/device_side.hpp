// What a network on a device has once for training and once for predictions, and a feed that was announced to
// it. Private to this layer.
#pragma once

#include <algorithm>
#include <vector>

#include "common/graph/feeds.hpp"
#include "common/graph/programs.hpp"
#include "common/graph/recordings.hpp"

namespace trainyard::graph {

/// One graph with all that its runs need.
struct Side {
  Side(Graph graph, std::size_t own_inputs, const ops::Backend& backend)
      : programs(std::move(graph), backend),
        feeds(programs.graph(), own_inputs, *backend.device()),
        recordings(*backend.device()) {}

  Programs programs;
  Feeds feeds;
  Recordings recordings;
  std::size_t bound = 0;  // programs that were bound when the recordings were made
};

/// A feed that was announced.
struct Staged {
  explicit Staged(const Feed& of) : inputs(of.inputs.begin(), of.inputs.end()), feed(of) { feed.inputs = {}; }
  bool is(const Feed& other) const {
    return feed.count == other.count && feed.step == other.step && feed.labels == other.labels &&
           std::equal(inputs.begin(), inputs.end(), other.inputs.begin(), other.inputs.end());
  }
  Feed whole() const {
    Feed out = feed;
    out.inputs = inputs;
    return out;
  }
  std::vector<const void*> inputs;
  Feed feed;  // but the inputs
};

}  // namespace trainyard::graph
