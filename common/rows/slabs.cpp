#include "common/rows/slabs.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "common/base/check.hpp"

namespace trainyard::rows {

namespace {

constexpr std::size_t page_bytes = std::size_t{2} << 20;
constexpr std::size_t block_bytes = std::size_t{64} << 20;
constexpr std::size_t line_bytes = 64;
constexpr std::size_t blocks_max = 16384;
constexpr std::size_t chunk_bytes_min = std::size_t{128} << 10;

/// As many rows as a block has room for, a power of two and no less than a piece.
std::uint32_t shift_of(std::uint32_t stride) {
  const std::size_t rows = std::max<std::size_t>(block_bytes / (stride * sizeof(float)), Slabs::piece_rows);
  return static_cast<std::uint32_t>(std::bit_width(rows) - 1);
}

}  // namespace

void FreeMemory::operator()(std::byte* memory) const {
  if (mapped_bytes == 0) {
    std::free(memory);
  } else {
    ::munmap(memory, mapped_bytes);
  }
}

Memory take_memory(std::size_t bytes) {
  if (bytes < page_bytes) {
    const std::size_t whole = (bytes + line_bytes - 1) / line_bytes * line_bytes;
    auto* const memory = static_cast<std::byte*>(std::aligned_alloc(line_bytes, whole));
    check(memory != nullptr, "there is memory for rows");
    return Memory(memory, FreeMemory{});
  }
  // Mapped with a page to spare, so that it can begin with one; what is never touched takes no memory.
  const std::size_t whole = (bytes + page_bytes - 1) / page_bytes * page_bytes;
  void* const mapped = ::mmap(nullptr, whole + page_bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  check(mapped != MAP_FAILED, "there is memory for rows");
  auto* const begin = static_cast<std::byte*>(mapped);
  const std::size_t before = (page_bytes - reinterpret_cast<std::uintptr_t>(begin) % page_bytes) % page_bytes;
  if (before > 0) ::munmap(begin, before);
  ::munmap(begin + before + whole, page_bytes - before);
  ::madvise(begin + before, whole, MADV_HUGEPAGE);  // only a wish
  return Memory(begin + before, FreeMemory{whole});
}

Slabs::Slabs(std::uint32_t stride) : stride_(stride), shift_(shift_of(stride)), blocks_(blocks_max) {}

std::uint32_t Slabs::take() {
  const std::lock_guard lock(mutex_);
  const std::uint32_t first = next_;
  check(first < rows_max - piece_rows && first >> shift_ < blocks_max, "rows have numbers of 31 bits");
  if (first >> shift_ == owned_.size()) {
    // What of it is never touched takes no memory.
    owned_.push_back(take_memory((std::size_t{1} << shift_) * stride_ * sizeof(float)));
    blocks_[owned_.size() - 1] = reinterpret_cast<float*>(owned_.back().get());
  }
  next_ += piece_rows;
  return first;
}

std::byte* Chunks::take(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (auto& free = free_[bytes]; !free.empty()) {
    std::byte* const chunk = free.back();
    free.pop_back();
    return chunk;
  }
  const std::size_t whole = (bytes + line_bytes - 1) / line_bytes * line_bytes;
  if (left_ < whole) {
    left_ = std::max(whole, std::clamp(taken_, chunk_bytes_min, block_bytes));
    owned_.push_back(take_memory(left_));
    next_ = owned_.back().get();
  }
  std::byte* const chunk = next_;
  next_ += whole;
  left_ -= whole;
  taken_ += whole;
  return chunk;
}

void Chunks::give(std::byte* chunk, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  free_[bytes].push_back(chunk);
}

}  // namespace trainyard::rows
