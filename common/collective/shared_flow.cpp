#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>

#include "common/base/text.hpp"
#include "common/collective/flow.hpp"

namespace trainyard::collective {

namespace {

// Small enough to stay in a processor's cache between its two users.
constexpr std::size_t ring_bytes = 1 << 20;
// What is told at once: the reader begins while the rest is still being written.
constexpr std::size_t segment_bytes = 128 << 10;
constexpr int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

/// At the front of the memory. Counts of bytes since the beginning; `..._waits`: that end is about to sleep
/// and wants its event.
struct Head {
  alignas(64) std::atomic<std::uint64_t> written{0};
  alignas(64) std::atomic<std::uint64_t> taken{0};
  alignas(64) std::atomic<std::uint32_t> reader_waits{0};
  alignas(64) std::atomic<std::uint32_t> writer_waits{0};
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

constexpr std::size_t data_offset = 4096;
constexpr std::size_t memory_bytes = data_offset + ring_bytes;

class SharedRing {
 public:
  explicit SharedRing(SharedEnds ends) : ends_(std::move(ends)) {}
  SharedRing(const SharedRing&) = delete;
  SharedRing& operator=(const SharedRing&) = delete;
  ~SharedRing() {
    if (base_ != nullptr) munmap(base_, memory_bytes);
  }

  Status map() {
    void* const at =
        mmap(nullptr, memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ends_.memory.number(), 0);
    if (at == MAP_FAILED) return system_error("mmap");
    base_ = static_cast<std::byte*>(at);
    return {};
  }

  Head& head() const { return *std::launder(reinterpret_cast<Head*>(base_)); }
  std::byte* data() const { return base_ + data_offset; }
  int filled() const { return ends_.filled.number(); }
  int room() const { return ends_.room.number(); }

 private:
  SharedEnds ends_;
  std::byte* base_ = nullptr;
};

Error torn() { return {Errc::unavailable, "the shared memory holds what its other end cannot have written"}; }

class SharedOutflow final : public Outflow {
 public:
  explicit SharedOutflow(std::unique_ptr<SharedRing> ring) : ring_(std::move(ring)) {}

  Result<std::size_t> put(std::span<const std::byte> first, std::span<const std::byte> second) override {
    Head& head = ring_->head();
    const std::uint64_t used = written_ - head.taken.load(std::memory_order_acquire);
    if (used > ring_bytes) return torn();
    std::size_t room = std::min<std::size_t>(ring_bytes - used, segment_bytes), done = 0;
    for (auto part : {first, second}) {
      part = part.first(std::min(part.size(), room));
      copy_in(part);
      room -= part.size();
      done += part.size();
    }
    if (done == 0) return done;
    // Ordered with the reader's look behind its reader_waits: one of the two sees the other.
    head.written.store(written_, std::memory_order_seq_cst);
    if (head.reader_waits.load(std::memory_order_seq_cst) != 0 && head.reader_waits.exchange(0) != 0)
      signal_event(ring_->filled());
    return done;
  }

  bool arm(pollfd& one) override {
    clear_event(ring_->room());
    Head& head = ring_->head();
    head.writer_waits.store(1, std::memory_order_seq_cst);
    one = {ring_->room(), POLLIN, 0};
    return written_ - head.taken.load(std::memory_order_seq_cst) == ring_bytes;
  }

 private:
  void copy_in(std::span<const std::byte> part) {
    while (!part.empty()) {
      const std::size_t at = written_ % ring_bytes, some = std::min(part.size(), ring_bytes - at);
      std::memcpy(ring_->data() + at, part.data(), some);
      written_ += some;
      part = part.subspan(some);
    }
  }

  std::unique_ptr<SharedRing> ring_;
  std::uint64_t written_ = 0;
};

class SharedInflow final : public Inflow {
 public:
  explicit SharedInflow(std::unique_ptr<SharedRing> ring) : ring_(std::move(ring)) {}

  Result<std::span<const std::byte>> look() override {
    const std::uint64_t there = ring_->head().written.load(std::memory_order_acquire) - taken_;
    if (there > ring_bytes) return torn();
    const std::size_t at = taken_ % ring_bytes;
    const std::size_t some =
        std::min<std::size_t>(std::min<std::uint64_t>(there, segment_bytes), ring_bytes - at);
    if (some >= sizeof(float) || some == there) return std::span<const std::byte>(ring_->data() + at, some);
    // A value that lies over the end of the ring.
    const std::size_t whole = std::min<std::size_t>(there, split_.size());
    for (std::size_t i = 0; i < whole; ++i) split_[i] = ring_->data()[(taken_ + i) % ring_bytes];
    return std::span<const std::byte>(split_).first(whole);
  }

  void take(std::size_t bytes) override {
    Head& head = ring_->head();
    taken_ += bytes;
    head.taken.store(taken_, std::memory_order_seq_cst);
    if (head.writer_waits.load(std::memory_order_seq_cst) != 0 && head.writer_waits.exchange(0) != 0)
      signal_event(ring_->room());
  }

  Result<std::size_t> read(std::span<std::byte> to) override {
    const auto there = look();
    if (!there) return there.error();
    const std::size_t some = std::min(there->size(), to.size());
    if (some == 0) return some;
    std::memcpy(to.data(), there->data(), some);
    take(some);
    return some;
  }

  bool arm(pollfd& one) override {
    clear_event(ring_->filled());
    Head& head = ring_->head();
    head.reader_waits.store(1, std::memory_order_seq_cst);
    one = {ring_->filled(), POLLIN, 0};
    return head.written.load(std::memory_order_seq_cst) == taken_;
  }

 private:
  std::unique_ptr<SharedRing> ring_;
  std::uint64_t taken_ = 0;
  std::array<std::byte, sizeof(float)> split_{};
};

union Control {
  char bytes[CMSG_SPACE(3 * sizeof(int))];
  cmsghdr aligned;
};

Status same_user(int local_socket) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (getsockopt(local_socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
    return system_error("SO_PEERCRED");
  if (peer.uid != geteuid()) return Error{Errc::refused, format("the peer is user {}", peer.uid)};
  return {};
}

}  // namespace

Result<SharedEnds> make_shared_ends() {
  SharedEnds ends{Descriptor(memfd_create("trainyard-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING)), make_event(),
                  make_event()};
  if (!ends.memory) return system_error("memfd_create");
  if (ftruncate(ends.memory.number(), memory_bytes) != 0 ||
      fcntl(ends.memory.number(), F_ADD_SEALS, seals) != 0)
    return system_error("shared memory of a ring");
  return ends;
}

Result<std::unique_ptr<Outflow>> shared_outflow(SharedEnds ends) {
  auto ring = std::make_unique<SharedRing>(std::move(ends));
  if (const Status mapped = ring->map(); !mapped) return mapped.error();
  return std::unique_ptr<Outflow>(std::make_unique<SharedOutflow>(std::move(ring)));
}

Result<std::unique_ptr<Inflow>> shared_inflow(SharedEnds ends) {
  struct stat found {};
  if (fstat(ends.memory.number(), &found) != 0 || found.st_size != memory_bytes ||
      (fcntl(ends.memory.number(), F_GET_SEALS) & seals) != seals)
    return Error{Errc::corrupt, "the shared memory is not that of a ring"};
  auto ring = std::make_unique<SharedRing>(std::move(ends));
  if (const Status mapped = ring->map(); !mapped) return mapped.error();
  return std::unique_ptr<Inflow>(std::make_unique<SharedInflow>(std::move(ring)));
}

Status send_ends(int local_socket, const SharedEnds& ends) {
  if (const Status same = same_user(local_socket); !same) return same;
  Control control{};
  char word = 'S';
  iovec part{&word, 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  cmsghdr* const head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(3 * sizeof(int));
  const int numbers[3] = {ends.memory.number(), ends.filled.number(), ends.room.number()};
  std::memcpy(CMSG_DATA(head), numbers, sizeof numbers);
  return sendmsg(local_socket, &message, MSG_NOSIGNAL) == 1 ? Status()
                                                            : system_error("shared memory of a ring");
}

Result<SharedEnds> receive_ends(int local_socket, const Wait& wait) {
  if (const Status same = same_user(local_socket); !same) return same.error();
  if (const Status ready = wait.for_event(local_socket, POLLIN, "the local socket"); !ready)
    return ready.error();
  Control control{};
  char word = 0;
  iovec part{&word, 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  if (recvmsg(local_socket, &message, MSG_CMSG_CLOEXEC) != 1) return system_error("shared memory of a ring");
  const cmsghdr* const head = CMSG_FIRSTHDR(&message);
  if (head == nullptr || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS ||
      head->cmsg_len != CMSG_LEN(3 * sizeof(int)))
    return Error{Errc::corrupt, "no shared memory came"};
  int numbers[3] = {-1, -1, -1};
  std::memcpy(numbers, CMSG_DATA(head), sizeof numbers);
  return SharedEnds{Descriptor(numbers[0]), Descriptor(numbers[1]), Descriptor(numbers[2])};
}

}  // namespace trainyard::collective
