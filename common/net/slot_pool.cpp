#include "common/net/slot_pool.hpp"

#include <algorithm>

#include "common/base/log.hpp"

namespace trainyard::net {

namespace {

constexpr std::size_t grain = std::size_t{64} << 10;

std::size_t size_for(std::size_t bytes) { return std::max(grain, (bytes + grain - 1) / grain * grain); }

}  // namespace

bool SlotPool::idle(const std::shared_ptr<Slot>& slot) const {
  if (slot == nullptr || slot.use_count() != 1) return false;
  for (const RingState* const ring : rings_)
    if (ring->held[slot->id].load(std::memory_order_seq_cst) != 0) return false;
  { const auto joined = slot; }  // orders the last owner's reads before our writes
  return true;
}

void SlotPool::drop(std::uint32_t id) {
  bytes_ -= slots_[id]->memory.bytes().size();
  slots_[id].reset();
  ++changes_;
}

void SlotPool::drop_spent() {
  for (std::uint32_t id = 0; id < slots_.size(); ++id)
    if (slots_[id] != nullptr && slots_[id]->spent && idle(slots_[id])) drop(id);
}

void SlotPool::leave(const RingState& ring) {
  std::erase(rings_, &ring);
  for (const auto& slot : slots_)
    if (slot != nullptr && ring.held[slot->id].load(std::memory_order_seq_cst) != 0) slot->spent = true;
  drop_spent();
}

std::shared_ptr<Slot> SlotPool::take(std::size_t bytes) {
  drop_spent();
  const std::size_t size = size_for(bytes);
  if (size > bytes_max_) return nullptr;
  std::shared_ptr<Slot> best;
  for (const auto& slot : slots_) {
    if (slot == nullptr || slot->spent) continue;
    if (slot->memory.bytes().size() < size || slot->memory.bytes().size() > 2 * size) continue;
    if (best != nullptr && best->memory.bytes().size() <= slot->memory.bytes().size()) continue;
    if (idle(slot)) best = slot;
  }
  if (best != nullptr) return best;

  auto place = std::find(slots_.begin(), slots_.end(), nullptr);
  bool full = place == slots_.end() && slots_.size() == RingState::slots_max;
  for (std::uint32_t id = 0; id < slots_.size() && (full || bytes_ + size > bytes_max_); ++id) {
    if (!idle(slots_[id])) continue;
    drop(id);
    full = false;
  }
  if (full || bytes_ + size > bytes_max_) return nullptr;
  auto memory = SharedMemory::make(size);
  if (!memory) {
    log::debug("no slot of {} bytes: {}", size, memory.error().message);
    return nullptr;
  }
  place = std::find(slots_.begin(), slots_.end(), nullptr);
  if (place == slots_.end()) place = slots_.insert(slots_.end(), nullptr);
  *place = std::make_shared<Slot>();
  (*place)->memory = std::move(*memory);
  (*place)->id = static_cast<std::uint32_t>(place - slots_.begin());
  (*place)->serial = ++serial_;
  bytes_ += (*place)->memory.bytes().size();
  ++changes_;
  return *place;
}

std::shared_ptr<Slot> SlotPool::find(const void* owner) const {
  if (owner == nullptr) return nullptr;
  for (const auto& slot : slots_)
    if (slot.get() == owner) return slot;
  return nullptr;
}

}  // namespace trainyard::net
