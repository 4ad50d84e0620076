// Sums and copies over the processes of a gang, each of which calls the same operations in the same order.
// What carries them is behind this: a ring of neighbours over TCP and shared memory. One thread calls a
// Group; what it submits runs on a thread of the group, so that it computes meanwhile, and on its own once it
// waits. abort() may come from anywhere.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.hpp"
#include "common/base/time.hpp"
#include "common/collective/listener.hpp"
#include "common/collective/pieces.hpp"

namespace trainyard::collective {

/// Every error is Errc::unavailable, names the rank that it comes from, and is final: all later operations on
/// all ranks end with it.
class Group {
 public:
  using Ticket = std::uint64_t;
  virtual ~Group() = default;

  virtual std::uint32_t rank() const = 0;
  virtual std::uint32_t ranks() const = 0;

  /// The sum over all ranks, value by value, of what the pieces hold; their bytes are those of floats. All
  /// ranks end with the same bits, and get the same again from the same values. Returns at once; until wait()
  /// the memory belongs to the group. At most operations_max are under way.
  virtual Ticket submit(std::vector<Piece> bucket) = 0;
  /// Until this operation and all before it are done.
  virtual Status wait(Ticket ticket) = 0;
  /// Both in one, without waking the group's thread.
  virtual Status finish(std::vector<Piece> bucket) = 0;
  static constexpr std::size_t operations_max = 4096;

  virtual Status broadcast(std::span<std::byte> bytes, std::uint32_t root) = 0;
  /// `values` are as many on each rank. Afterwards the own part (chunk_of) holds the sum; the rest, anything.
  virtual Status reduce_scatter(std::span<float> values) = 0;
  /// Each rank gives its own part (chunk_of) of `values`.
  virtual Status all_gather(std::span<float> values) = 0;
  Status all_reduce(std::span<float> values) { return finish({piece_of(values)}); }

  /// Ends every operation on every rank with an error.
  virtual void abort(const std::string& reason) = 0;
};

struct RingSettings {
  std::uint32_t rank = 0;
  std::vector<std::string> endpoints;  // by rank; one alone needs no listener
  std::uint64_t job = 0;
  std::uint32_t incarnation = 0;
  std::string secret;      // of the job; empty: there is none
  Duration patience{30s};  // to connect, and for a rank that is silent
  bool shared_memory = true;
  /// Up to so many bytes, times the ranks, an array goes round whole: half the turns, for more bytes.
  std::uint64_t whole_bytes_max = 256 << 10;
  const std::atomic<bool>* cancelled = nullptr;  // ends every wait
};

/// Connects to the next rank and accepts the previous one. Errc::refused: the next rank takes part in another
/// ring (a later life of the job, say); Errc::unavailable: somebody did not come in time.
Result<std::unique_ptr<Group>> connect_ring(RingSettings settings, Listener& listener);

}  // namespace trainyard::collective
