// Where the shards are, as the master said last: written by the thread that hears the master, read by the one
// that computes.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "common/protocol/messages.hpp"

namespace trainyard::trainer {

/// Endpoints by shard, of a roster of a job with so many shards.
inline std::vector<std::string> shard_endpoints(const protocol::Roster& roster, std::uint32_t shards) {
  std::vector<std::string> endpoints(shards);
  for (const protocol::Member& member : roster.members) {
    if (member.task.role == Role::ps && !member.follows)
      endpoints[member.task.index % shards] = member.address;
  }
  return endpoints;
}

class ShardAddresses {
 public:
  /// Older epochs than the present one are not listened to.
  void set(std::uint64_t epoch, std::vector<std::string> endpoints) {
    const std::lock_guard lock(mutex_);
    if (epoch < epoch_) return;
    endpoints_ = std::move(endpoints);
    epoch_ = epoch;
  }
  std::uint64_t epoch() const { return epoch_; }
  std::pair<std::uint64_t, std::vector<std::string>> get() const {
    const std::lock_guard lock(mutex_);
    return {epoch_, endpoints_};
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> endpoints_;
  std::atomic<std::uint64_t> epoch_{0};
};

}  // namespace trainyard::trainer
