// A graph bound to a batch size and a backend: prepared kernels, layouts, places in the arena. Runs without
// allocating. Belongs to the thread that runs it.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "common/base/result.hpp"
#include "common/graph/graph.hpp"
#include "common/ops/backend.hpp"

namespace trainyard::graph {

/// What a run needs beyond the graph. Parameters and gradients are flat arrays; the rest may be null when the
/// graph does not use it.
struct Memory {
  std::byte* arena = nullptr;  // arena_bytes() at least, aligned to 64
  const float* parameters = nullptr;
  float* gradients = nullptr;
  const float* images = nullptr;
  const std::int32_t* labels = nullptr;
  const std::uint64_t* keys = nullptr;
  const std::uint64_t* step = nullptr;
  ops::Outcome* outcome = nullptr;
  friend bool operator==(const Memory&, const Memory&) = default;
};

class Program {
 public:
  /// Errc::refused names the layer for which the backend has no kernel.
  static Result<std::unique_ptr<Program>> bind(const Graph& graph, std::uint32_t batch,
                                               const ops::Backend& backend);

  void run(const Memory& memory);
  std::size_t arena_bytes() const { return arena_bytes_; }
  /// Where the graph's result lies after a run; only for a result that is row major.
  const float* result(const Memory& memory) const;
  std::uint32_t batch() const { return batch_; }

 private:
  struct Slot {
    Place place = Place::arena;
    std::size_t offset = 0;  // bytes in the arena, or floats in a flat array
  };
  struct Run {
    std::unique_ptr<ops::Kernel> kernel;
    std::vector<ValueId> inputs, outputs;
    std::size_t scratch = 0;  // offset in the arena
    std::vector<void*> input_at, output_at;
  };
  void* address(const Slot& slot, const Memory& memory) const;
  void resolve(const Memory& memory);

  std::uint32_t batch_ = 0;
  std::vector<Slot> slots_;
  std::vector<Run> runs_;
  ValueId result_ = 0;
  std::size_t arena_bytes_ = 0;
  Memory resolved_;
};

}  // namespace trainyard::graph
