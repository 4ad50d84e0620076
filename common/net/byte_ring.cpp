#include "common/net/byte_ring.hpp"

#include <cstring>

#include "common/base/check.hpp"

namespace trainyard::net {

namespace {

// Each record begins with its length in 8 bytes; this one means: go on at the beginning of the ring.
constexpr std::uint64_t wrap_mark = ~std::uint64_t{0};
constexpr std::size_t mark_bytes = sizeof(std::uint64_t);

std::size_t padded(std::size_t bytes) { return (bytes + mark_bytes - 1) / mark_bytes * mark_bytes; }

RingState* state_of(std::span<std::byte> memory) {
  check(memory.size() > sizeof(RingState) + 4 * mark_bytes && (memory.size() - sizeof(RingState)) % 8 == 0,
        "a ring has room for records");
  check(reinterpret_cast<std::uintptr_t>(memory.data()) % alignof(RingState) == 0, "a ring is aligned");
  return reinterpret_cast<RingState*>(memory.data());
}

}  // namespace

RingWriter::RingWriter(std::span<std::byte> memory)
    : state_(state_of(memory)),
      first_(memory.data() + sizeof(RingState)),
      capacity_(memory.size() - sizeof(RingState)) {}

std::span<std::byte> RingWriter::begin(std::size_t bytes) {
  check(bytes <= record_bytes_max(), "a record fits into its ring");
  const std::uint64_t read = state_->read.load(std::memory_order_acquire);
  if (written_ - read > capacity_) broken_ = true;
  if (broken_) return {};
  const std::size_t need = mark_bytes + padded(bytes);
  std::size_t at = written_ % capacity_, skipped = 0;
  if (need > capacity_ - at) {
    skipped = capacity_ - at;
    at = 0;
  }
  if (skipped + need > capacity_ - (written_ - read)) return {};
  if (skipped > 0) std::memcpy(first_ + written_ % capacity_, &wrap_mark, mark_bytes);
  const std::uint64_t length = bytes;
  std::memcpy(first_ + at, &length, mark_bytes);
  next_ = written_ + skipped + need;
  return {first_ + at + mark_bytes, bytes};
}

bool RingWriter::commit() {
  written_ = next_;
  state_->written.store(written_, std::memory_order_seq_cst);
  return state_->reader_sleeps.load(std::memory_order_seq_cst) != 0 &&
         state_->reader_sleeps.exchange(0, std::memory_order_seq_cst) != 0;
}

RingReader::RingReader(std::span<std::byte> memory)
    : state_(state_of(memory)),
      first_(memory.data() + sizeof(RingState)),
      capacity_(memory.size() - sizeof(RingState)) {}

bool RingReader::more() {
  if (broken_) return false;
  if (read_ != written_) return true;
  written_ = state_->written.load(std::memory_order_seq_cst);
  if (written_ - read_ > capacity_ || written_ % mark_bytes != 0) broken_ = true;
  return !broken_ && read_ != written_;
}

std::span<const std::byte> RingReader::peek() {
  while (more()) {
    const std::size_t at = read_ % capacity_;
    std::uint64_t length = 0;
    std::memcpy(&length, first_ + at, mark_bytes);
    const std::uint64_t there = std::min<std::uint64_t>(written_ - read_, capacity_ - at) - mark_bytes;
    if (length == wrap_mark && written_ - read_ > capacity_ - at) {
      read_ += capacity_ - at;
      continue;
    }
    if (length == 0 || length > there) {
      broken_ = true;
      break;
    }
    next_ = read_ + mark_bytes + padded(length);
    return {first_ + at + mark_bytes, static_cast<std::size_t>(length)};
  }
  return {};
}

bool RingReader::pop() {
  read_ = next_;
  state_->read.store(read_, std::memory_order_seq_cst);
  return state_->writer_waits.load(std::memory_order_seq_cst) != 0 &&
         state_->writer_waits.exchange(0, std::memory_order_seq_cst) != 0;
}

bool RingReader::sleep() {
  state_->reader_sleeps.store(1, std::memory_order_seq_cst);
  if (!more() && !broken_) return true;
  awake();
  return false;
}

}  // namespace trainyard::net
