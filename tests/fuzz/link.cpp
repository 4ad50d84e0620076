// libFuzzer: whatever a peer on this node writes into the ring and the slots that it shares, and whatever
// notes it sends, the other end gives messages within their bounds or ends the link.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "common/base/check.hpp"
#include "common/net/local_link.hpp"

namespace {

using namespace trainyard;
using namespace trainyard::net;

constexpr std::size_t slot_bytes = std::size_t{64} << 10;
constexpr LocalLink::Bounds bounds{.header_bytes_max = 100'000,
                                   .payload_bytes_max = 100'000,
                                   .slots_bytes_max = 4 * slot_bytes,
                                   .held_bytes_max = slot_bytes};

unsigned sum(std::span<const std::byte> bytes) {
  unsigned sum = 0;
  for (const std::byte one : bytes) sum += static_cast<unsigned>(one);
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  if (const auto record = read_local_record(bytes))
    check(record->header.size() + record->inside.size() <= size, "a record is no more than its bytes");
  static_cast<void>(read_note(bytes, true));

  // The first byte: which notes come. The rest: the beginning of the peer's ring, from its state on.
  if (size < 2) return 0;
  const std::uint8_t notes = data[0];
  const auto ring = bytes.subspan(1);
  auto ends = local_pair();
  check(ends.has_value(), "sockets");
  const std::size_t ring_capacity = std::size_t{256} << 10, both = 2 * ring_bytes(ring_capacity);
  static SharedMemory memory = std::move(*SharedMemory::make(both));
  static SharedMemory slot = std::move(*SharedMemory::make(slot_bytes));
  std::memset(memory.bytes().data(), 0, both);
  std::memcpy(memory.bytes().data(), ring.data(), std::min(ring.size(), both));
  send_note(ends->first, {.kind = Note::Kind::offer, .bytes = both}, memory.descriptor());
  if ((notes & 1) != 0)
    send_note(ends->first, {.kind = Note::Kind::slot, .id = std::uint32_t{notes} >> 4U, .bytes = slot_bytes},
              slot.descriptor());
  if ((notes & 2) != 0)
    send_note(ends->first, {.kind = Note::Kind::retire, .id = std::uint32_t{notes} >> 2U});
  if ((notes & 4) != 0)
    send_note(ends->first, {.kind = Note::Kind::slot, .id = 1, .bytes = 4096}, slot.descriptor());

  const auto link =
      LocalLink::accept(std::move(ends->second), std::make_shared<SlotPool>(slot_bytes), bounds);
  link->hear();
  volatile unsigned seen = 0;  // payloads are read to their ends
  for (int i = 0; i < 1000; ++i) {
    const auto message = link->receive();
    if (!message) break;
    check(message->payload.bytes().size() <= bounds.payload_bytes_max, "payloads are bounded");
    seen = seen + sum(message->payload.bytes());
    static_cast<void>(link->send("answer", {}));
  }
  return 0;
}
