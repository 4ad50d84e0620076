#include "daemons/trainer/chief.hpp"

namespace trainyard::trainer {

bool should_stop_early(const config::EarlyStop& rule, std::span<const EpochRow> history) {
  const bool less_is_better = rule.metric.ends_with("loss");
  std::optional<double> best;
  std::uint32_t without = 0;
  for (const EpochRow& row : history) {
    const auto metric = row.metrics.find(rule.metric);
    if (metric == row.metrics.end()) continue;
    const bool better = !best || (less_is_better ? metric->second < *best : metric->second > *best);
    if (better) best = metric->second;
    without = better ? 0 : without + 1;
  }
  return without >= rule.patience && without > 0;
}

Chief::Chief(Duration checkpoint_every, std::uint64_t steps, Time now)
    : checkpoint_every_(checkpoint_every), steps_(steps), checkpoint_due_(now + checkpoint_every) {}

Marks Chief::mark(std::uint64_t step, Time now) {
  const bool last = stopping_ || step >= steps_;
  const bool checkpoint = last || now >= checkpoint_due_;
  if (checkpoint) checkpoint_due_ = now + checkpoint_every_;
  return {checkpoint, last};
}

}  // namespace trainyard::trainer
