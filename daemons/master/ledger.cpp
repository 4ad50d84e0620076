#include "daemons/master/ledger.hpp"

namespace trainyard::master {

Ledger::Lease Ledger::lease(const protocol::Partition& partition, Incarnation incarnation) {
  const auto it = entries_.find(partition);
  if (it == entries_.end()) {
    entries_.emplace(partition, Entry{incarnation, false, 0});
    trim(partition.epoch, partition.rank);
    return Lease::granted;
  }
  Entry& entry = it->second;
  if (entry.incarnation > incarnation) return Lease::stale;
  if (entry.incarnation == incarnation) return entry.done ? Lease::done : Lease::again;
  entry = {incarnation, false, 0};
  return Lease::granted;
}

bool Ledger::done(const protocol::Partition& partition, Incarnation incarnation, std::uint32_t samples) {
  Entry& entry = entries_[partition];  // unknown: leased by a master that is gone
  if (entry.incarnation > incarnation || (entry.incarnation == incarnation && entry.done)) return false;
  entry = {incarnation, true, samples};
  trim(partition.epoch, partition.rank);
  return true;
}

std::uint64_t Ledger::samples(std::uint64_t epoch) const {
  std::uint64_t sum = 0;
  for (const auto& [partition, entry] : entries_) {
    if (partition.epoch == epoch && entry.done) sum += entry.samples;
  }
  return sum;
}

void Ledger::trim(std::uint64_t epoch, std::uint32_t rank) {
  // Each rank goes through its epochs in order, and may be epochs ahead of the others.
  std::erase_if(entries_,
                [&](const auto& item) { return item.first.rank == rank && item.first.epoch + 1 < epoch; });
}

}  // namespace trainyard::master
