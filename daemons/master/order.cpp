#include "daemons/master/order.hpp"

#include <chrono>
#include <cmath>

namespace trainyard::master {

namespace {

protocol::ResourceSet share_of(const config::Resources& resources) {
  return {.cpu_millis = static_cast<std::uint64_t>(std::llround(resources.cpus * 1000)),
          .memory = resources.memory,
          .gpus = resources.gpus};
}

}  // namespace

Result<JobOrder> order_of(const config::JobSpec& spec, std::string yaml) {
  if (spec.kind != config::JobKind::train) {
    return Error{Errc::refused,
                 "kind: this release runs training jobs only; use 'trainyard evaluate' and 'trainyard "
                 "predict' on a finished bundle"};
  }
  if (!spec.cluster.trainer.custom.empty() || !spec.cluster.ps.custom.empty()) {
    return Error{Errc::refused, "cluster.resources: no executor of this release offers custom resources"};
  }
  JobOrder order{.name = spec.name,
                 .queue = spec.queue,
                 .priority = spec.priority,
                 .require = spec.cluster.require,
                 .spread = spec.cluster.spread,
                 .restarts = spec.cluster.restarts,
                 .epochs = spec.train.epochs,
                 .output_dir = spec.output.path,
                 .checkpoint_dir = spec.output.path + "/checkpoints",
                 .yaml = std::move(yaml)};
  using std::chrono::milliseconds;
  order.time_limit_ms =
      static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(spec.cluster.time_limit).count());
  order.roles.push_back({Role::trainer, spec.cluster.trainers, share_of(spec.cluster.trainer)});
  if (spec.cluster.parameter_servers > 0) {
    order.replicas = spec.cluster.replicas;
    order.roles.push_back(
        {Role::ps, spec.cluster.parameter_servers * (1 + order.replicas), share_of(spec.cluster.ps)});
  }
  return order;
}

}  // namespace trainyard::master
