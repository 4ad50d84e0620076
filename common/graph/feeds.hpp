// The inputs of a step on a device: two sets of fixed addresses, so that one can be filled while the other is
// computed with. Private to this layer.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "common/graph/network.hpp"
#include "common/ops/device.hpp"

namespace trainyard::graph {

inline constexpr std::size_t kFeedSlots = 2;

class Feeds {
 public:
  /// `own_inputs`: so many externals of the graph are the model's.
  Feeds(const Graph& graph, std::size_t own_inputs, ops::Device& device)
      : graph_(graph), own_inputs_(own_inputs), device_(device) {}
  /// Memory for batches up to `batch_max`.
  Status reserve(std::uint32_t batch_max);

  /// Enqueues the copies of a feed into a slot; what was enqueued from it before has to be done.
  void fill(std::size_t slot, const Feed& feed);
  /// The same of the scale of the loss, where the graph has one.
  void scale_loss(std::size_t slot, float scale);
  /// By Graph::externals. The one named "outcome" is the last block's.
  std::span<void* const> externals(std::size_t slot) const { return slots_[slot].externals; }
  /// Where a slot's outcome lies on the device; null where the graph has none.
  void* outcome(std::size_t slot) const { return slots_[slot].outcome; }

 private:
  struct Slot {
    ops::Block host, device;
    std::vector<void*> externals;
    void* outcome = nullptr;
  };
  std::size_t bytes_of(const External& external, std::uint32_t count) const;
  void copy(std::size_t slot, std::size_t index, const void* from, std::size_t bytes);
  const void* source(std::size_t index, const Feed& feed) const;

  const Graph& graph_;
  const std::size_t own_inputs_;
  ops::Device& device_;
  std::vector<std::size_t> offsets_;
  std::array<Slot, kFeedSlots> slots_;
};

}  // namespace trainyard::graph
