// Bytes in one direction between two neighbours of a ring, over TCP or through shared memory. Neither end
// ever waits: who has nothing to do polls what arm() names. Belongs to the ring's thread.
#pragma once

#include <poll.h>

#include <cstddef>
#include <memory>
#include <span>

#include "common/base/result.hpp"
#include "common/collective/socket.hpp"

namespace trainyard::collective {

/// Errors of both: Errc::unavailable, the peer is gone.
class Outflow {
 public:
  virtual ~Outflow() = default;
  /// Takes as much of `first`, then of `second`, as there is room for now: how many bytes.
  virtual Result<std::size_t> put(std::span<const std::byte> first, std::span<const std::byte> second) = 0;
  /// What to poll for room. False: there is room by now.
  virtual bool arm(pollfd& one) = 0;
};

class Inflow {
 public:
  virtual ~Inflow() = default;
  /// What is there now, as it lies; stays valid until the next call of another function. Fewer than 4 bytes
  /// only where no more have come.
  virtual Result<std::span<const std::byte>> look() = 0;
  /// The first `bytes` of what look() gave are done with.
  virtual void take(std::size_t bytes) = 0;
  /// Copies what is there into `to`: how many bytes.
  virtual Result<std::size_t> read(std::span<std::byte> to) = 0;
  /// What to poll for bytes. False: there are some by now that no look() has shown yet.
  virtual bool arm(pollfd& one) = 0;
};

/// Both over a connected TCP socket that somebody else owns.
std::unique_ptr<Outflow> stream_outflow(int socket);
std::unique_ptr<Inflow> stream_inflow(int socket);

/// Shared memory between two processes of one node, made by the sender and handed over by a local socket.
struct SharedEnds {
  Descriptor memory;        // sealed: neither end can change its size
  Descriptor filled, room;  // events: bytes have come, have gone
};
Result<SharedEnds> make_shared_ends();
Result<std::unique_ptr<Outflow>> shared_outflow(SharedEnds ends);
/// Errc::corrupt: what came is no such memory.
Result<std::unique_ptr<Inflow>> shared_inflow(SharedEnds ends);

/// Hands ends over a connected local socket, whose peer has to be the same user.
Status send_ends(int local_socket, const SharedEnds& ends);
Result<SharedEnds> receive_ends(int local_socket, const Wait& wait);

}  // namespace trainyard::collective
