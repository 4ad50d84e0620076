// A graph bound to a batch size and a backend: prepared kernels, layouts, places in the arena. Runs without
// allocating. Belongs to the thread that runs it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "common/base/result.hpp"
#include "common/graph/graph.hpp"
#include "common/ops/backend.hpp"
#include "common/ops/device.hpp"
#include "common/tensor/buffer.hpp"

namespace trainyard::graph {

/// What a run needs beyond the graph. Parameters and gradients are flat arrays of the backend's real numbers;
/// externals are in the order of Graph::externals and may be null when no node of the graph uses them.
struct Memory {
  std::byte* arena = nullptr;  // arena_bytes() at least, aligned to 64
  const void* parameters = nullptr;
  void* gradients = nullptr;
  std::span<void* const> externals;
};

/// Watches a run from inside, on the thread that runs.
class Observer {
 public:
  virtual ~Observer() = default;
  /// Around the kernel of step `index` of Program::steps().
  virtual void begins(std::size_t index);
  virtual void ended(std::size_t index);
  /// So many gradients from `offset` on are final. Called in the order of the backward pass.
  virtual void gradient(std::uint64_t offset, std::uint64_t length);
};

class Program {
 public:
  /// Errc::refused names the layer or node for which the backend has no kernel.
  static Result<std::unique_ptr<Program>> bind(const Graph& graph, std::uint32_t batch,
                                               const ops::Backend& backend);

  void run(const Memory& memory, Observer* observer = nullptr);
  std::size_t arena_bytes() const { return arena_bytes_; }
  /// The least that any plan of the arena could take: the most bytes that live at once.
  std::size_t live_bytes() const { return live_bytes_; }
  /// Where result `index` of the graph lies after a run, row major.
  const void* result(const Memory& memory, std::size_t index = 0) const;
  std::uint32_t batch() const { return batch_; }

  /// What runs, in order: an operation with its operands' bound signatures and bytes as they lie.
  struct Step {
    Kind kind = Kind::unary;
    Attributes attributes;
    std::uint32_t origin = 0;  // Graph::origins
    std::vector<Signature> inputs, outputs;
    std::vector<std::size_t> input_bytes, output_bytes;
  };
  const std::vector<Step>& steps() const { return steps_; }
  /// Where the outputs of a step lie after a run, for a look inside.
  std::span<void* const> outputs(std::size_t index) const { return runs_[index].output_at; }

 private:
  friend class Binder;
  struct Slot {
    Place place = Place::arena;
    std::uint64_t offset =
        0;  // bytes in the arena; elements in a flat array; index of a constant or external
  };
  struct Run {
    std::unique_ptr<ops::Kernel> kernel;
    std::vector<ValueId> inputs, outputs;
    std::size_t scratch = 0;  // offset in the arena
    std::vector<void*> input_at, output_at;
    std::vector<std::pair<std::uint64_t, std::uint64_t>>
        gradients;  // that are final after it: offset, length
  };
  void* address(ValueId id, const Memory& memory) const;
  void resolve(const Memory& memory);

  std::uint32_t batch_ = 0;
  std::size_t real_bytes_ = 4;
  std::vector<Slot> slots_;  // of values; views have those of what they view
  std::vector<Run> runs_;
  std::vector<Step> steps_;
  std::vector<ValueId> results_;
  std::vector<tensor::Buffer> constants_;
  std::vector<ops::Block> device_constants_;  // the same, where kernels see a device's memory
  std::size_t arena_bytes_ = 0, live_bytes_ = 0;
  Memory resolved_;
  std::vector<void*> resolved_externals_;
};

}  // namespace trainyard::graph
