// An open-addressing table from ids to where their rows are: linear probing from the cache line that the hash
// names. Its memory is that of the table's chunks. Entries are removed all at once, by a rebuild.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "common/rows/partition.hpp"
#include "common/rows/slabs.hpp"

namespace trainyard::rows {

struct Entry {
  static constexpr std::uint32_t nowhere = 0xffffffff, spilled_bit = 0x80000000;
  std::uint64_t id = 0;
  std::uint32_t where = nowhere;  // number of a row, or of a spilled place with `spilled_bit`
  std::uint32_t touched = 0;      // the lower half of the clock
  bool spilled() const { return (where & spilled_bit) != 0; }
  std::uint32_t place() const { return where & ~spilled_bit; }
};

class Index {
 public:
  explicit Index(Chunks& chunks) : chunks_(&chunks) { reserve(0); }
  Index(Index&& other) noexcept
      : chunks_(other.chunks_),
        entries_(std::exchange(other.entries_, nullptr)),
        mask_(other.mask_),
        size_(other.size_) {}
  Index& operator=(Index&&) = delete;

  void prefetch(std::uint64_t hash) const { __builtin_prefetch(entries_ + home(hash)); }
  /// Null when it is not there.
  Entry* find(std::uint64_t id, std::uint64_t hash) const {
    for (std::uint64_t at = home(hash);; at = (at + 1) & mask_) {
      Entry& entry = entries_[at];
      if (entry.where == Entry::nowhere) return nullptr;
      if (entry.id == id) return &entry;
    }
  }
  /// One that is not there; the entries move when there is no room.
  Entry& insert(std::uint64_t id, std::uint64_t hash) {
    if (is_full(size_ + 1, mask_ + 1)) reserve(size_ + 1);
    ++size_;
    Entry& entry = place_for(hash);
    entry.id = id;
    return entry;
  }
  /// Those that are not taken are put to rest: take(entry) says whether one stays.
  template <typename Take>
  void keep(Take take) {
    std::uint64_t kept = 0;
    for (Entry& entry : all()) {
      if (entry.where == Entry::nowhere) continue;
      if (take(std::as_const(entry))) {
        ++kept;
      } else {
        entry.where = Entry::nowhere;
      }
    }
    if (kept == size_) return;
    size_ = kept;
    reserve(kept);
  }
  /// With those that are nowhere.
  std::span<Entry> all() const { return {entries_, mask_ + 1}; }
  std::uint64_t size() const { return size_; }
  std::uint64_t bytes() const { return (mask_ + 1) * sizeof(Entry); }

 private:
  static constexpr std::uint64_t line_entries = 4, entries_min = 16;
  /// Three quarters: a miss then looks at two to three cache lines.
  static constexpr bool is_full(std::uint64_t size, std::uint64_t entries) { return 4 * size > 3 * entries; }
  std::uint64_t home(std::uint64_t hash) const { return hash & mask_ & ~(line_entries - 1); }
  Entry& place_for(std::uint64_t hash) {
    std::uint64_t at = home(hash);
    while (entries_[at].where != Entry::nowhere) at = (at + 1) & mask_;
    return entries_[at];
  }
  /// Moves to an array that is at most half full with so many; all that is somewhere stays.
  void reserve(std::uint64_t size) {
    Entry* const old = entries_;
    const std::uint64_t before = old == nullptr ? 0 : mask_ + 1;
    std::uint64_t after = entries_min;
    while (after < 2 * size) after *= 2;
    entries_ = reinterpret_cast<Entry*>(chunks_->take(after * sizeof(Entry)));
    mask_ = after - 1;
    for (std::uint64_t i = 0; i < after; ++i) entries_[i] = {};
    for (std::uint64_t i = 0; i < before; ++i)
      if (old[i].where != Entry::nowhere) place_for(hash_of(old[i].id)) = old[i];
    if (old != nullptr) chunks_->give(reinterpret_cast<std::byte*>(old), before * sizeof(Entry));
  }

  Chunks* chunks_;
  Entry* entries_ = nullptr;  // a power of two of them
  std::uint64_t mask_ = 0, size_ = 0;
};

}  // namespace trainyard::rows
