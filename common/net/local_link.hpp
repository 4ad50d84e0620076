// A connection of two processes of one node that carries messages, a header and a payload each, through
// shared memory: small ones lie in a ring, large payloads in slots that the receiver reads in place. Whole
// messages or none, in order; a peer that dies or writes nonsense ends the link. Each end belongs to one
// thread; received payloads may be let go of on any.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/time.hpp"
#include "common/net/local_socket.hpp"
#include "common/net/payload.hpp"
#include "common/net/slot_pool.hpp"

namespace trainyard::net {

struct LocalMessage {
  std::string header;
  Payload payload;
};

/// Where a record says its payload lies.
struct LocalRecord {
  std::string header;                               // empty if it lies in the slot
  std::span<const std::byte> inside;                // payload in the record itself
  std::optional<std::uint32_t> slot;                // or in this slot
  std::uint64_t header_bytes = 0;                   // in the slot, from its beginning
  std::uint64_t payload_at = 0, payload_bytes = 0;  // in the slot
};
/// Nothing: the bytes are no record. Takes each byte that decides once, however it changes meanwhile.
std::optional<LocalRecord> read_local_record(std::span<const std::byte> record);

class LocalLink {
 public:
  struct Bounds {
    std::size_t header_bytes_max, payload_bytes_max;
    std::size_t slots_bytes_max;  // of the peer
    std::size_t held_bytes_max;   // of ours that the peer may look at; three of the same size always may be
  };
  /// The end that connected: makes the rings and hands them over.
  static Result<std::unique_ptr<LocalLink>> offer(Descriptor socket, std::shared_ptr<SlotPool> pool,
                                                  const Bounds& bounds);
  /// The end that accepted: may send once it has received something.
  static std::unique_ptr<LocalLink> accept(Descriptor socket, std::shared_ptr<SlotPool> pool,
                                           const Bounds& bounds);
  ~LocalLink();
  LocalLink(const LocalLink&) = delete;
  LocalLink& operator=(const LocalLink&) = delete;

  enum class Sent { yes, full, ended };
  /// Never waits. The payload is copied, unless it lies in a slot of the pool: then it goes as it is. Full:
  /// the peer has not read enough of what it got.
  Sent send(std::string_view header, const SharedBytes& payload);
  /// As send, and waits for room at most so long.
  Sent send(std::string_view header, const SharedBytes& payload, Duration patience);
  /// Never waits.
  std::optional<LocalMessage> receive();
  std::optional<LocalMessage> receive(Duration patience);

  /// To wait for several links at once: true if nothing is there; then descriptor() becomes readable when
  /// something is. awake() and hear() after that.
  bool sleep();
  void awake();
  void hear();
  int descriptor() const;
  /// The peer is gone, and all that it sent was received.
  bool ended();
  /// Of our slots that the peer has not let go of.
  std::size_t held_bytes() const;

 private:
  struct Shared;
  struct Hold;
  LocalLink(Descriptor socket, std::shared_ptr<SlotPool> pool, const Bounds& bounds);
  bool open(SharedMemory rings, bool offered);
  void take(Noted noted);
  bool announce(const Slot& slot);
  void retire_dropped();
  Sent send_slot(std::string_view header, std::span<const std::byte> payload, const SharedBytes& given);
  std::optional<LocalMessage> open_record(LocalRecord record);
  void bell() const;

  const std::shared_ptr<SlotPool> pool_;
  const Bounds bounds_;
  std::shared_ptr<Shared> shared_;  // also of payloads that were received
  std::optional<RingWriter> writer_;
  std::optional<RingReader> reader_;
  std::array<std::uint64_t, RingState::slots_max> announced_{};  // serials of ours that the peer knows
  std::uint64_t changes_seen_ = 0;
  std::array<std::shared_ptr<SharedMemory>, RingState::slots_max> theirs_{};
  std::size_t their_bytes_ = 0;
  bool ended_ = false;
};

}  // namespace trainyard::net
