// What a training hears from the master, and what it asks for: leases of partitions, records ahead of time.
#include <algorithm>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "daemons/trainer/training.hpp"

namespace trainyard::trainer {

namespace {

constexpr Duration lease_without_master = 1s;  // then a trainer goes on by itself

Time now() { return std::chrono::steady_clock::now(); }

}  // namespace

/// Waits until this trainer may use the partition that `step` begins. In synchronous order the partition can
/// be nobody else's, so that a master that is away stops nobody: it hears of the lease when it is back.
Status Training::lease(std::uint64_t step) {
  const Run run = plan_->run_of(step);
  if (granted_ == run.partition) return {};
  link_.report(protocol::RequestPartition{environment_.key, run.partition.epoch, run.partition.index});
  std::optional<Time> away_since;
  while (granted_ != run.partition) {
    if (link_.cancelled) return cancelled_error();
    if (const auto message = link_.inbox.take_for(50ms)) {
      if (const Status heard = hear(*message); !heard) return heard;
      continue;
    }
    if (link_.connected) {
      away_since.reset();
    } else if (!away_since) {
      away_since = now();
    } else if (now() - *away_since > lease_without_master) {
      log::warn("the master is away; partition {} of epoch {} is used without its word", run.partition.index,
                run.partition.epoch + 1);
      granted_ = run.partition;
    }
  }
  return {};
}

std::span<const std::uint32_t> Training::order_of(std::uint64_t epoch) {
  auto it = orders_.find(epoch);
  if (it == orders_.end()) {
    it = orders_.emplace(epoch, data::epoch_order(split_.train, job_.train.seed, epoch)).first;
    while (orders_.size() > 2) orders_.erase(orders_.begin());
  }
  return it->second;
}

void Training::request_ahead(std::uint64_t step) {
  const std::uint64_t until = std::min(step + steps_ahead, plan_->steps());
  const std::size_t batch = job_.data.batch_size;
  while (requested_ < until) {
    ++requested_;
    const std::uint64_t epoch = plan_->epoch_of(requested_);
    const auto records =
        data::records_of(plan_->geometry(), order_of(epoch), plan_->place_of(requested_), plan_->rank());
    // A step without records has one batch as well, an empty one.
    batches_.push_back(std::max<std::size_t>(1, (records.size() + batch - 1) / batch));
    for (std::size_t first = 0; first == 0 || first < records.size(); first += batch) {
      const auto part = records.subspan(first, std::min(batch, records.size() - first));
      loader_->request(requested_, epoch, true, {part.begin(), part.end()});
    }
  }
}

Status Training::hear_all() {
  while (auto message = link_.inbox.take_for(0s)) {
    if (const Status heard = hear(*message); !heard) return heard;
  }
  return {};
}

Status Training::hear(const protocol::Message& message) {
  if (const auto* grant = std::get_if<protocol::GrantPartition>(&message)) {
    granted_ = grant->partition;
  } else if (const auto* commit_message = std::get_if<protocol::CommitCheckpoint>(&message)) {
    commit(*commit_message);
  } else if (const auto* failed = std::get_if<protocol::CheckpointFailed>(&message)) {
    give_up(failed->step, name(failed->key.task), failed->reason);
  } else if (const auto* stop = std::get_if<protocol::StopTraining>(&message)) {
    if (!stop_asked_) log::info("asked to save and stop: {}", stop->reason);
    stop_asked_ = true;
    if (chief_) chief_->stop(protocol::Ending::stopped);
  }
  return {};
}

}  // namespace trainyard::trainer
