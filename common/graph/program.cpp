#include "common/graph/program.hpp"

#include <algorithm>

#include "common/base/check.hpp"

namespace trainyard::graph {

void Observer::begins(std::size_t) {}
void Observer::ended(std::size_t) {}
void Observer::gradient(std::uint64_t, std::uint64_t) {}

void* Program::address(ValueId id, const Memory& memory) const {
  if (id == kAbsent) return nullptr;
  const Slot& slot = slots_[id];
  switch (slot.place) {
    case Place::arena:
      return memory.arena + slot.offset;
    case Place::parameter:
      // Kernels take all operands as void*; they write to their outputs alone.
      return const_cast<std::byte*>(static_cast<const std::byte*>(memory.parameters)) +
             slot.offset * real_bytes_;
    case Place::gradient:
      return static_cast<std::byte*>(memory.gradients) + slot.offset * real_bytes_;
    case Place::constant:
      if (!device_constants_.empty()) return device_constants_[slot.offset].data();
      return const_cast<std::byte*>(constants_[slot.offset].data());
    case Place::external:
      return memory.externals[slot.offset];
  }
  return nullptr;
}

void Program::resolve(const Memory& memory) {
  const bool same = memory.arena == resolved_.arena && memory.parameters == resolved_.parameters &&
                    memory.gradients == resolved_.gradients &&
                    std::equal(memory.externals.begin(), memory.externals.end(), resolved_externals_.begin(),
                               resolved_externals_.end());
  if (same) return;
  for (Run& run : runs_) {
    for (std::size_t k = 0; k < run.inputs.size(); ++k) run.input_at[k] = address(run.inputs[k], memory);
    for (std::size_t k = 0; k < run.outputs.size(); ++k) run.output_at[k] = address(run.outputs[k], memory);
  }
  resolved_ = memory;
  resolved_externals_.assign(memory.externals.begin(), memory.externals.end());
}

void Program::run(const Memory& memory, Observer* observer) {
  resolve(memory);
  if (observer == nullptr) {
    for (Run& run : runs_) run.kernel->run(run.input_at, run.output_at, memory.arena + run.scratch);
    return;
  }
  for (std::size_t i = 0; i < runs_.size(); ++i) {
    Run& run = runs_[i];
    observer->begins(i);
    run.kernel->run(run.input_at, run.output_at, memory.arena + run.scratch);
    observer->ended(i);
    for (const auto& [offset, length] : run.gradients) observer->gradient(offset, length);
  }
}

const void* Program::result(const Memory& memory, std::size_t index) const {
  return address(results_[index], memory);
}

}  // namespace trainyard::graph
