// Exchanges of a job that has no shards: one trainer alone, or a ring of them.
#include <algorithm>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "daemons/trainer/training.hpp"

namespace trainyard::trainer {

Result<std::unique_ptr<LocalExchange>> Training::exchange_without_shards(std::uint64_t steps_per_epoch) {
  if (job_.strategy.kind == config::StrategyKind::all_reduce) return ring_exchange(steps_per_epoch);
  if (job_.cluster.trainers == 1) return local_exchange(steps_per_epoch);
  return Error{Errc::invalid, "cluster.parameter_servers: several trainers need at least one shard"};
}

/// On a device the values stay there, where the rule can be run there.
std::unique_ptr<LocalExchange> Training::local_exchange(std::uint64_t steps_per_epoch) {
  if (processor_.backend) {
    auto rule = job_.train.accumulation == 1
                    ? optim::DeviceRule::make(job_.train, tensors_)
                    : Result<optim::DeviceRule>(Error{Errc::refused, "steps have several batches"});
    if (rule) {
      auto made = std::make_unique<DeviceExchange>(job_.train, tensors_, steps_per_epoch, std::move(*rule),
                                                   *network_);
      device_ = made.get();
      return made;
    }
    log::info("values are updated by the CPU: {}", rule.error().message);
  }
  return std::make_unique<LocalExchange>(job_.train, tensors_, steps_per_epoch);
}

/// Every trainer's address in the roster takes the greetings of the ring as well.
Result<std::unique_ptr<LocalExchange>> Training::ring_exchange(std::uint64_t steps_per_epoch) {
  RingExchange::Settings settings;
  settings.ring.rank = environment_.key.task.index;
  settings.ring.job = number(environment_.key.task.job);
  settings.ring.incarnation = number(environment_.key.incarnation);
  settings.ring.secret = environment_.secret;
  settings.ring.endpoints.resize(job_.cluster.trainers);
  for (const protocol::Member& member : roster_.members) {
    if (member.task.role == Role::trainer && member.task.index < job_.cluster.trainers)
      settings.ring.endpoints[member.task.index] = member.address;
  }
  const auto silent = std::find(settings.ring.endpoints.begin(), settings.ring.endpoints.end(), "");
  if (silent != settings.ring.endpoints.end())
    return Error{Errc::invalid,
                 format("the roster has no address of trainer-{}", silent - settings.ring.endpoints.begin())};
  auto made = RingExchange::connect(job_.train, tensors_, steps_per_epoch, std::move(settings), link_.ring,
                                    link_.cancelled);
  if (!made) return made.error();
  ring_ = made->get();
  // A device's gradients are here once all are made; those in fp16 count only if none of them overflows.
  if (!processor_.backend && job_.train.precision != config::Precision::fp16) early_.emplace(*ring_);
  return std::unique_ptr<LocalExchange>(std::move(*made));
}

}  // namespace trainyard::trainer
