// The shared memory of a sender, in slots that each hold a message: who still uses a slot, the sender itself
// or one of the peers that were told of it, keeps it from being used again. Bounded in bytes and in slots.
// Belongs to one thread; what it gave may be let go of on any.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "common/net/byte_ring.hpp"
#include "common/net/shared_memory.hpp"

namespace trainyard::net {

struct Slot {
  SharedMemory memory;
  std::uint32_t id = 0;
  std::uint64_t serial = 0;  // of all slots of the pool, from 1; an id is used again, a serial never
  bool spent = false;        // somebody who is out of touch may still look at it: never to be used again
};

class SlotPool {
 public:
  explicit SlotPool(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  /// A slot of at least so many bytes that nobody uses; its owner may write it. Nothing: all are in use, the
  /// pool may not grow, or the machine has no memory.
  std::shared_ptr<Slot> take(std::size_t bytes);
  /// The slot of which this is the owner, if it is one of ours.
  std::shared_ptr<Slot> find(const void* owner) const;
  /// Its slot as it is now; null if there is none.
  const Slot* at(std::uint32_t id) const { return id < slots_.size() ? slots_[id].get() : nullptr; }
  /// Changes whenever a slot comes or goes.
  std::uint64_t changes() const { return changes_; }
  std::size_t bytes() const { return bytes_; }

  /// Rings by which peers are told of slots, and say which of them they still look at.
  void join(RingState& ring) { rings_.push_back(&ring); }
  void leave(const RingState& ring);

 private:
  bool idle(const std::shared_ptr<Slot>& slot) const;
  void drop(std::uint32_t id);
  void drop_spent();

  const std::size_t bytes_max_;
  std::size_t bytes_ = 0;
  std::uint64_t changes_ = 0;
  std::uint64_t serial_ = 0;
  std::vector<std::shared_ptr<Slot>> slots_;  // by id; null where there is none
  std::vector<RingState*> rings_;
};

}  // namespace trainyard::net
