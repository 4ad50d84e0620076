#include "common/net/local_link.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "common/base/check.hpp"
#include "common/base/log.hpp"

namespace trainyard::net {

namespace {

constexpr std::size_t ring_capacity = std::size_t{256} << 10;
constexpr std::size_t inside_bytes_max = std::size_t{16} << 10;         // a payload in its record
constexpr std::size_t inside_header_bytes_max = std::size_t{64} << 10;  // a header in its record
constexpr std::size_t payload_alignment = 64;
constexpr std::size_t notes_at_once = 256;
constexpr std::size_t slot_slack = std::size_t{64} << 10;  // what a slot may be larger than its payload
constexpr std::uint32_t no_slot = ~std::uint32_t{0};

/// A record is this, the header unless it lies in the slot, and the payload unless there is a slot.
struct Head {
  std::uint32_t slot = no_slot;
  std::uint32_t header_inside = 1;
  std::uint64_t header_bytes = 0;
  std::uint64_t payload_at = 0;
  std::uint64_t payload_bytes = 0;
};

std::size_t aligned(std::size_t bytes) {
  return (bytes + payload_alignment - 1) / payload_alignment * payload_alignment;
}

Time now() { return std::chrono::steady_clock::now(); }

void wait_for(int descriptor, Time until) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now());
  pollfd item{descriptor, POLLIN, 0};
  if (left.count() > 0) static_cast<void>(::poll(&item, 1, static_cast<int>(left.count())));
}

}  // namespace

std::optional<LocalRecord> read_local_record(std::span<const std::byte> bytes) {
  Head head;
  if (bytes.size() < sizeof(head)) return std::nullopt;
  std::memcpy(&head, bytes.data(), sizeof(head));
  bytes = bytes.subspan(sizeof(head));
  LocalRecord record;
  record.payload_at = head.payload_at;
  record.payload_bytes = head.payload_bytes;
  if (head.header_inside == 1) {
    if (head.header_bytes > bytes.size()) return std::nullopt;
    record.header.assign(reinterpret_cast<const char*>(bytes.data()), head.header_bytes);
    bytes = bytes.subspan(head.header_bytes);
  } else {
    if (head.header_inside != 0 || head.slot == no_slot) return std::nullopt;
    record.header_bytes = head.header_bytes;
  }
  if (head.slot == no_slot) {
    if (head.payload_at != 0 || head.payload_bytes != bytes.size()) return std::nullopt;
    record.inside = bytes;
    return record;
  }
  if (head.slot >= RingState::slots_max || !bytes.empty() || head.payload_at % payload_alignment != 0)
    return std::nullopt;
  record.slot = head.slot;
  return record;
}

/// What an end shares with the payloads that it received.
struct LocalLink::Shared {
  Descriptor socket;
  SharedMemory rings;
};

/// Tells the sender, when it goes, that the slot is not looked at any more.
struct LocalLink::Hold {
  std::shared_ptr<Shared> shared;
  std::shared_ptr<SharedMemory> slot;
  RingState* ring;
  std::uint32_t id;

  ~Hold() {
    ring->held[id].fetch_sub(1, std::memory_order_seq_cst);
    if (ring->writer_waits.load(std::memory_order_seq_cst) != 0 && ring->writer_waits.exchange(0) != 0)
      send_note(shared->socket, {.kind = Note::Kind::bell});
  }
};

LocalLink::LocalLink(Descriptor socket, std::shared_ptr<SlotPool> pool, const Bounds& bounds)
    : pool_(std::move(pool)), bounds_(bounds), shared_(std::make_shared<Shared>()) {
  shared_->socket = std::move(socket);
}

LocalLink::~LocalLink() {
  if (writer_) pool_->leave(writer_->state());
  // Payloads may outlive us and hold the socket; the peer is to see the end now.
  ::shutdown(shared_->socket.number(), SHUT_RDWR);
}

bool LocalLink::open(SharedMemory rings, bool offered) {
  const std::size_t one = ring_bytes(ring_capacity);
  shared_->rings = std::move(rings);
  const auto there = shared_->rings.bytes().first(one), back = shared_->rings.bytes().subspan(one, one);
  writer_.emplace(offered ? there : back);
  reader_.emplace(offered ? back : there);
  pool_->join(writer_->state());
  return true;
}

Result<std::unique_ptr<LocalLink>> LocalLink::offer(Descriptor socket, std::shared_ptr<SlotPool> pool,
                                                    const Bounds& bounds) {
  auto rings = SharedMemory::make(2 * ring_bytes(ring_capacity));
  if (!rings) return rings.error();
  std::unique_ptr<LocalLink> link(new LocalLink(std::move(socket), std::move(pool), bounds));
  const Note note{.kind = Note::Kind::offer, .bytes = 2 * ring_bytes(ring_capacity)};
  if (!send_note(link->shared_->socket, note, rings->descriptor()))
    return Error{Errc::unavailable, "the peer on this node is gone"};
  link->open(std::move(*rings), true);
  return link;
}

std::unique_ptr<LocalLink> LocalLink::accept(Descriptor socket, std::shared_ptr<SlotPool> pool,
                                             const Bounds& bounds) {
  return std::unique_ptr<LocalLink>(new LocalLink(std::move(socket), std::move(pool), bounds));
}

int LocalLink::descriptor() const { return shared_->socket.number(); }

void LocalLink::bell() const { send_note(shared_->socket, {.kind = Note::Kind::bell}); }

void LocalLink::take(Noted noted) {
  const Note& note = noted.note;
  if (note.kind == Note::Kind::bell) return;
  if (note.kind == Note::Kind::offer) {
    const std::size_t wanted = 2 * ring_bytes(ring_capacity);
    auto rings = SharedMemory::adopt(std::move(noted.with), wanted, SharedMemory::Access::write);
    ended_ = ended_ || reader_ || note.bytes != wanted || !rings;
    if (!ended_) open(std::move(*rings), false);
    return;
  }
  if (note.id >= RingState::slots_max) {
    ended_ = true;
    return;
  }
  auto& slot = theirs_[note.id];
  if (slot) their_bytes_ -= slot->bytes().size();
  slot.reset();
  if (note.kind == Note::Kind::retire) return;
  if (note.bytes > bounds_.slots_bytes_max || their_bytes_ + note.bytes > bounds_.slots_bytes_max) {
    ended_ = true;
    return;
  }
  auto memory = SharedMemory::adopt(std::move(noted.with), note.bytes, SharedMemory::Access::read);
  if (!memory) {
    log::debug("a slot of a peer on this node is unusable: {}", memory.error().message);
    ended_ = true;
    return;
  }
  slot = std::make_shared<SharedMemory>(std::move(*memory));
  their_bytes_ += slot->bytes().size();
}

void LocalLink::hear() {
  if (ended_) return;
  Notes notes = take_notes(shared_->socket, notes_at_once);
  for (Noted& noted : notes.got) take(std::move(noted));
  ended_ = ended_ || notes.ended;
}

bool LocalLink::ended() { return ended_ && (!reader_ || reader_->broken() || reader_->empty()); }

bool LocalLink::sleep() { return !reader_ || reader_->sleep(); }

void LocalLink::awake() {
  if (reader_) reader_->awake();
}

std::size_t LocalLink::held_bytes() const {
  std::size_t bytes = 0;
  if (!writer_) return 0;
  for (std::uint32_t id = 0; id < RingState::slots_max; ++id) {
    if (announced_[id] == 0 || writer_->state().held[id].load(std::memory_order_relaxed) == 0) continue;
    if (const Slot* const slot = pool_->at(id)) bytes += slot->memory.bytes().size();
  }
  return bytes;
}

std::optional<LocalMessage> LocalLink::open_record(LocalRecord record) {
  LocalMessage message{std::move(record.header), {}};
  if (!record.slot) {
    if (record.inside.size() > bounds_.payload_bytes_max) return std::nullopt;
    if (!record.inside.empty()) {
      auto copy = std::make_shared<std::vector<std::byte>>(record.inside.begin(), record.inside.end());
      const std::span<const std::byte> bytes = *copy;
      message.payload = Payload(bytes, std::move(copy));
    }
    return message;
  }
  const std::uint32_t id = *record.slot;
  // The note of a new slot was sent before the record.
  if (!theirs_[id]) hear();
  const auto slot = theirs_[id];
  if (!slot) return std::nullopt;
  const std::uint64_t size = slot->bytes().size();
  if (record.header_bytes > bounds_.header_bytes_max || record.payload_bytes > bounds_.payload_bytes_max ||
      record.header_bytes > size || record.payload_at > size ||
      record.payload_bytes > size - record.payload_at)
    return std::nullopt;
  auto hold = std::make_shared<Hold>(shared_, slot, &reader_->state(), id);
  if (record.header_bytes > 0)
    message.header.assign(reinterpret_cast<const char*>(slot->bytes().data()), record.header_bytes);
  message.payload = Payload(slot->bytes().subspan(record.payload_at, record.payload_bytes), std::move(hold));
  return message;
}

std::optional<LocalMessage> LocalLink::receive() {
  if (!reader_ && !ended_) hear();
  if (!reader_) return std::nullopt;
  const auto bytes = reader_->peek();
  std::optional<LocalMessage> message;
  if (!bytes.empty()) {
    if (auto record = read_local_record(bytes)) message = open_record(std::move(*record));
    if (!message) {
      log::debug("a peer on this node sent what is no message");
      reader_->give_up();
    } else if (reader_->pop()) {
      bell();
    }
  }
  ended_ = ended_ || reader_->broken();
  return message;
}

std::optional<LocalMessage> LocalLink::receive(Duration patience) {
  const Time until = now() + patience;
  while (true) {
    if (auto message = receive()) return message;
    if (ended() || now() >= until) return std::nullopt;
    if (sleep()) wait_for(descriptor(), until);
    awake();
    hear();
  }
}

/// Slots that the pool gave up: their memory is to go on the other side too.
void LocalLink::retire_dropped() {
  if (changes_seen_ == pool_->changes()) return;
  changes_seen_ = pool_->changes();
  for (std::uint32_t id = 0; id < RingState::slots_max; ++id) {
    if (announced_[id] == 0) continue;
    const Slot* const slot = pool_->at(id);
    if (slot != nullptr && slot->serial == announced_[id]) continue;
    ended_ = ended_ || !send_note(shared_->socket, {.kind = Note::Kind::retire, .id = id});
    announced_[id] = 0;
  }
}

bool LocalLink::announce(const Slot& slot) {
  if (announced_[slot.id] == slot.serial) return true;
  const Note note{.kind = Note::Kind::slot, .id = slot.id, .bytes = slot.memory.bytes().size()};
  if (!send_note(shared_->socket, note, slot.memory.descriptor())) return false;
  announced_[slot.id] = slot.serial;
  return true;
}

LocalLink::Sent LocalLink::send_slot(std::string_view header, std::span<const std::byte> payload,
                                     const SharedBytes& given) {
  Head head{.header_bytes = header.size(), .payload_bytes = payload.size()};
  head.header_inside = header.size() <= inside_header_bytes_max ? 1 : 0;
  // Room first, so that a full ring costs no copy.
  const auto room = writer_->begin(sizeof(head) + (head.header_inside == 1 ? header.size() : 0));
  if (writer_->broken()) return Sent::ended;
  if (room.empty()) return Sent::full;
  const std::size_t held = held_bytes();
  if (held > 0 && held + payload.size() > std::max(bounds_.held_bytes_max, 3 * (payload.size() + slot_slack)))
    return Sent::full;

  auto slot = head.header_inside == 1 ? pool_->find(given.owner.get()) : nullptr;
  // A part of a slot that is not aligned goes like any other bytes.
  if (slot && (payload.data() - slot->memory.bytes().data()) % payload_alignment == 0) {
    head.payload_at = static_cast<std::uint64_t>(payload.data() - slot->memory.bytes().data());
  } else {
    head.payload_at = head.header_inside == 1 ? 0 : aligned(header.size());
    slot = pool_->take(head.payload_at + payload.size());
    if (!slot) return Sent::full;
    const auto bytes = slot->memory.bytes();
    if (head.header_inside == 0) std::memcpy(bytes.data(), header.data(), header.size());
    if (!payload.empty()) std::memcpy(bytes.data() + head.payload_at, payload.data(), payload.size());
  }
  retire_dropped();
  if (ended_ || !announce(*slot)) return Sent::ended;
  head.slot = slot->id;
  std::memcpy(room.data(), &head, sizeof(head));
  if (head.header_inside == 1) std::memcpy(room.data() + sizeof(head), header.data(), header.size());
  writer_->state().held[slot->id].fetch_add(1, std::memory_order_seq_cst);
  if (writer_->commit()) bell();
  return Sent::yes;
}

LocalLink::Sent LocalLink::send(std::string_view header, const SharedBytes& payload) {
  if (ended_) return Sent::ended;
  if (!writer_) return Sent::full;
  check(header.size() <= bounds_.header_bytes_max && payload.view.size() <= bounds_.payload_bytes_max,
        "a message is within its bounds");
  if (header.size() > inside_header_bytes_max || payload.view.size() > inside_bytes_max)
    return send_slot(header, payload.view, payload);
  const Head head{.header_bytes = header.size(), .payload_bytes = payload.view.size()};
  const auto room = writer_->begin(sizeof(head) + header.size() + payload.view.size());
  if (writer_->broken()) ended_ = true;
  if (room.empty()) return ended_ ? Sent::ended : Sent::full;
  std::memcpy(room.data(), &head, sizeof(head));
  std::memcpy(room.data() + sizeof(head), header.data(), header.size());
  if (!payload.view.empty())
    std::memcpy(room.data() + sizeof(head) + header.size(), payload.view.data(), payload.view.size());
  if (writer_->commit()) bell();
  return Sent::yes;
}

LocalLink::Sent LocalLink::send(std::string_view header, const SharedBytes& payload, Duration patience) {
  const Time until = now() + patience;
  while (true) {
    if (const Sent sent = send(header, payload); sent != Sent::full) return sent;
    if (!writer_) {
      if (now() >= until) return Sent::full;
    } else {
      writer_->state().writer_waits.store(1, std::memory_order_seq_cst);
      const Sent sent = send(header, payload);
      if (sent != Sent::full || now() >= until) {
        writer_->state().writer_waits.store(0, std::memory_order_relaxed);
        return sent;
      }
    }
    wait_for(descriptor(), until);
    hear();
  }
}

}  // namespace trainyard::net
