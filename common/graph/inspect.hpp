// What a model is: its layers with results, parameters and work, and what its programs need of memory. For
// people and for JSON; pure but for the kernels that are prepared to plan the memory.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/base/json.hpp"
#include "common/graph/loss.hpp"
#include "common/graph/model.hpp"
#include "common/graph/prepare.hpp"
#include "common/ops/work.hpp"

namespace trainyard::graph {

/// The operations of one origin.
struct LayerRow {
  std::string name, kind;
  std::string result;             // the shape of its last result, with the batch as N
  std::uint64_t parameters = 0;   // values that a training changes
  std::uint64_t buffers = 0;      // values that it only keeps
  ops::Work work;                 // of the forward pass, a sample
  std::uint64_t activations = 0;  // bytes of its results, a sample
};

struct MemoryPlan {
  std::size_t arena = 0;  // bytes
  std::size_t bound = 0;  // the least that any plan could take
};

struct Inspection {
  std::vector<std::pair<std::string, std::string>> inputs;  // "input", "[N, 3, 224, 224]"
  std::vector<LayerRow> layers;
  LayerRow all;  // sums; its result is the model's
  std::uint32_t batch = 0;
  std::optional<MemoryPlan> training, prediction;
  std::string no_plan;  // why there is none
};

/// Rows of the model alone.
Inspection inspect(const Model& model);
/// With memory plans for a batch on this machine's kernels, of a training with these passes.
Inspection inspect(const Model& model, const LossSpec& loss, std::uint32_t batch,
                   const TrainingPasses& passes = {});

/// A table, the sums, and the memory where it was planned.
std::string inspection_text(const Inspection& inspection);
Json inspection_json(const Inspection& inspection);

}  // namespace trainyard::graph
