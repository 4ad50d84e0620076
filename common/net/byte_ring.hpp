// A ring of records in memory of two processes: one writes, one reads, neither waits, and neither trusts what
// the other wrote there. A record is seen whole or not at all, also when its writer is killed. Each end
// belongs to one thread. Waking the other side is the owner's part; the flags for it are here.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace trainyard::net {

/// In the first bytes of a ring's memory, all zeros in the beginning.
struct RingState {
  static constexpr std::size_t slots_max = 64;
  alignas(64) std::atomic<std::uint64_t> read;     // bytes that the reader has done with
  std::atomic<std::uint32_t> writer_waits;         // 1: wake it when there is room
  alignas(64) std::atomic<std::uint64_t> written;  // bytes that are whole records
  std::atomic<std::uint32_t> reader_sleeps;        // 1: wake it when there is a record
  // How many records that name a slot the reader still looks at; counted up by the writer.
  alignas(64) std::array<std::atomic<std::uint32_t>, slots_max> held;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

/// Bytes of memory for a ring whose records fill `capacity` bytes, a multiple of 8.
constexpr std::size_t ring_bytes(std::size_t capacity) { return sizeof(RingState) + capacity; }

class RingWriter {
 public:
  /// `memory` stays where it is; aligned to 64.
  explicit RingWriter(std::span<std::byte> memory);

  /// Room for a record of so many bytes, aligned to 8; empty when there is none now. At most half of the
  /// capacity ever fits.
  std::span<std::byte> begin(std::size_t bytes);
  /// What begin() gave last is seen by the reader from now on. True: it sleeps and must be woken.
  bool commit();
  std::size_t record_bytes_max() const { return capacity_ / 2 - 8; }
  /// The reader wrote what it cannot have read.
  bool broken() const { return broken_; }
  RingState& state() const { return *state_; }

 private:
  RingState* state_;
  std::byte* first_;
  std::size_t capacity_;
  std::uint64_t written_ = 0, next_ = 0;
  bool broken_ = false;
};

class RingReader {
 public:
  explicit RingReader(std::span<std::byte> memory);

  /// The oldest record, empty when there is none. Its bytes can change while they are looked at if the
  /// writer is wicked: copy, then check.
  std::span<const std::byte> peek();
  /// Done with what peek() gave. True: the writer waits for room and must be woken.
  bool pop();
  /// From now on the writer wakes us. False: there is a record already, or the ring is broken.
  bool sleep();
  void awake() { state_->reader_sleeps.store(0, std::memory_order_relaxed); }
  /// The writer wrote what is no record.
  bool broken() const { return broken_; }
  void give_up() { broken_ = true; }
  bool empty() { return !more(); }
  RingState& state() const { return *state_; }

 private:
  bool more();
  RingState* state_;
  const std::byte* first_;
  std::size_t capacity_;
  std::uint64_t read_ = 0, next_ = 0, written_ = 0;
  bool broken_ = false;
};

}  // namespace trainyard::net
