// Who has which partition of an epoch, so that every sample is used once: a partition is leased to one
// incarnation of its rank and done once in that life. A new life takes over the leases, because it starts
// again from a checkpoint. Soft state: a restarted master hears of open leases again when trainers ask. A
// value.
#pragma once

#include <cstdint>
#include <map>

#include "common/base/ids.hpp"
#include "common/protocol/messages.hpp"

namespace trainyard::master {

class Ledger {
 public:
  enum class Lease : std::uint8_t { granted, again, done, stale };

  /// granted: it is this life's; again: it was already, the answer was lost; done: this life has used it;
  /// stale: a newer life holds it.
  Lease lease(const protocol::Partition& partition, Incarnation incarnation);
  /// True the first time in a life; a repeated or outdated report changes nothing.
  bool done(const protocol::Partition& partition, Incarnation incarnation, std::uint32_t samples);
  /// Samples that were used in an epoch, by the newest life that used each partition.
  std::uint64_t samples(std::uint64_t epoch) const;
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Incarnation incarnation{};
    bool done = false;
    std::uint32_t samples = 0;
  };
  void trim(std::uint64_t epoch, std::uint32_t rank);

  std::map<protocol::Partition, Entry> entries_;  // of two epochs of each rank at most
};

}  // namespace trainyard::master
