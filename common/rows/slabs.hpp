// Memory of a table: large blocks, in huge pages where the system has them, because rows and their index are
// read in no order that a processor guesses. What several writers share while they work; a take locks, once
// in many rows.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace trainyard::rows {

struct FreeMemory {
  std::size_t mapped_bytes = 0;  // 0: it came from the allocator
  void operator()(std::byte* memory) const;
};
/// Of unknown content, aligned to a cache line; large ones to a huge page.
using Memory = std::unique_ptr<std::byte, FreeMemory>;
Memory take_memory(std::size_t bytes);

/// Rows with numbers, the same for all stripes.
class Slabs {
 public:
  /// Rows that are handed out at once: no more than a stripe can make use of soon.
  static constexpr std::uint32_t piece_rows = 64;
  static constexpr std::uint32_t rows_max = std::uint32_t{1} << 31;

  /// `stride`: floats from one row to the next.
  explicit Slabs(std::uint32_t stride);
  /// The number of the first of `piece_rows` rows, which are the caller's until this is destroyed.
  std::uint32_t take();
  float* row(std::uint32_t number) const {
    return blocks_[number >> shift_].load(std::memory_order_relaxed) +
           std::size_t{number & ((std::uint32_t{1} << shift_) - 1)} * stride_;
  }
  std::uint64_t bytes() const { return std::uint64_t{next_} * stride_ * sizeof(float); }

 private:
  const std::uint32_t stride_;
  const std::uint32_t shift_;  // a block has 2^shift rows
  std::vector<std::atomic<float*>> blocks_;
  std::mutex mutex_;
  std::vector<Memory> owned_;
  std::uint32_t next_ = 0;
};

/// Arrays of any length, for indexes. What is given back is taken again for arrays of the same length.
class Chunks {
 public:
  std::byte* take(std::size_t bytes);  // aligned to a cache line
  void give(std::byte* chunk, std::size_t bytes);

 private:
  std::mutex mutex_;
  std::map<std::size_t, std::vector<std::byte*>> free_;
  std::vector<Memory> owned_;
  std::byte* next_ = nullptr;
  std::size_t left_ = 0, taken_ = 0;
};

}  // namespace trainyard::rows
