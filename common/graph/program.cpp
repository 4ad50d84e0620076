#include "common/graph/program.hpp"

#include "common/base/text.hpp"
#include "common/graph/plan.hpp"

namespace trainyard::graph {

namespace {

using ops::LayoutPtr;

LayoutPtr given_layout(const Value& value, std::uint32_t batch, const ops::Backend& backend) {
  switch (value.place) {
    case Place::arena:
      return nullptr;
    case Place::parameter:
    case Place::gradient:
      return backend.plain(value.shape);
    case Place::images:
      return backend.plain(value.shape.with_batch(batch));
    case Place::labels:
      return backend.raw(batch * sizeof(std::int32_t));
    case Place::keys:
      return backend.raw(batch * sizeof(std::uint64_t));
    case Place::step:
      return backend.raw(sizeof(std::uint64_t));
    case Place::outcome:
      return backend.raw(sizeof(ops::Outcome));
  }
  return nullptr;
}

}  // namespace

Result<std::unique_ptr<Program>> Program::bind(const Graph& graph, std::uint32_t batch,
                                               const ops::Backend& backend) {
  std::unique_ptr<Program> program(new Program);
  program->batch_ = batch;
  program->result_ = graph.result;
  std::vector<LayoutPtr> layouts;
  for (const Value& value : graph.values) layouts.push_back(given_layout(value, batch, backend));

  constexpr std::size_t unused = SIZE_MAX;
  std::vector<Life> lives(graph.values.size(), Life{0, unused, 0});
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    ops::Operation operation{node.kind, node.attributes, {}, {}};
    for (const ValueId id : node.inputs) {
      check(layouts[id] != nullptr, "a value is made before it is used");
      operation.inputs.push_back({graph.values[id].shape.with_batch(batch), layouts[id]});
      lives[id].last = i;
    }
    for (const ValueId id : node.outputs)
      operation.outputs.push_back(graph.values[id].shape.with_batch(batch));
    auto kernel = backend.prepare(operation);
    if (!kernel) return kernel.error().with(format("model.layers[{}]", node.layer));
    check((*kernel)->outputs().size() == node.outputs.size(), "a kernel gives what its contract says");
    for (std::size_t k = 0; k < node.outputs.size(); ++k) {
      const ValueId id = node.outputs[k];
      if (graph.values[id].place != Place::arena) continue;
      layouts[id] = (*kernel)->outputs()[k];
      lives[id] = {layouts[id]->bytes, i, i};
    }
    program->runs_.push_back({std::move(*kernel), node.inputs, node.outputs, 0, {}, {}});
  }
  lives[graph.result].last = graph.nodes.size();  // read after the run

  // Arena values first, then the scratch of each node.
  std::vector<Life> planned;
  std::vector<ValueId> ids;
  for (ValueId id = 0; id < lives.size(); ++id) {
    if (graph.values[id].place != Place::arena || lives[id].first == unused) continue;
    planned.push_back(lives[id]);
    ids.push_back(id);
  }
  for (std::size_t i = 0; i < program->runs_.size(); ++i) {
    planned.push_back({program->runs_[i].kernel->scratch_bytes(), i, i});
  }
  const Plan plan = plan_memory(planned);
  program->arena_bytes_ = plan.bytes;
  for (const Value& value : graph.values) program->slots_.push_back({value.place, value.offset});
  for (std::size_t k = 0; k < ids.size(); ++k) program->slots_[ids[k]].offset = plan.offsets[k];
  for (std::size_t i = 0; i < program->runs_.size(); ++i)
    program->runs_[i].scratch = plan.offsets[ids.size() + i];
  for (Run& run : program->runs_) {
    run.input_at.resize(run.inputs.size());
    run.output_at.resize(run.outputs.size());
  }
  return program;
}

void* Program::address(const Slot& slot, const Memory& memory) const {
  // Kernels take all operands as void*; they write to their outputs alone.
  const auto writable = [](const auto* pointer) {
    return const_cast<void*>(static_cast<const void*>(pointer));
  };
  switch (slot.place) {
    case Place::arena:
      return memory.arena + slot.offset;
    case Place::parameter:
      return writable(memory.parameters + slot.offset);
    case Place::gradient:
      return memory.gradients + slot.offset;
    case Place::images:
      return writable(memory.images);
    case Place::labels:
      return writable(memory.labels);
    case Place::keys:
      return writable(memory.keys);
    case Place::step:
      return writable(memory.step);
    case Place::outcome:
      return memory.outcome;
  }
  return nullptr;
}

void Program::resolve(const Memory& memory) {
  if (memory == resolved_) return;
  for (Run& run : runs_) {
    for (std::size_t k = 0; k < run.inputs.size(); ++k)
      run.input_at[k] = address(slots_[run.inputs[k]], memory);
    for (std::size_t k = 0; k < run.outputs.size(); ++k)
      run.output_at[k] = address(slots_[run.outputs[k]], memory);
  }
  resolved_ = memory;
}

void Program::run(const Memory& memory) {
  resolve(memory);
  for (Run& run : runs_) run.kernel->run(run.input_at, run.output_at, memory.arena + run.scratch);
}

const float* Program::result(const Memory& memory) const {
  return static_cast<const float*>(address(slots_[result_], memory));
}

}  // namespace trainyard::graph
