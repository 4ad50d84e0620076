#include "daemons/trainer/chief.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace trainyard::trainer {

namespace {

bool less_is_better(const std::string& metric) {
  return metric.ends_with("loss") || metric.starts_with("wait/") || metric == "seconds";
}

}  // namespace

bool should_stop_early(const config::EarlyStop& rule, std::span<const EpochRow> history) {
  const bool less = less_is_better(rule.metric);
  std::optional<double> best;
  std::uint32_t without = 0;
  for (const EpochRow& row : history) {
    const auto metric = row.metrics.find(rule.metric);
    if (metric == row.metrics.end()) continue;
    const bool better =
        !std::isnan(metric->second) && (!best || (less ? metric->second < *best : metric->second > *best));
    if (better) best = metric->second;
    without = better ? 0 : without + 1;
  }
  return without >= rule.patience && without > 0;
}

Chief::Chief(Duration checkpoint_every, std::uint64_t steps, Time now)
    : checkpoint_every_(checkpoint_every), steps_(steps), checkpoint_due_(now + checkpoint_every) {}

Marks Chief::mark(std::uint64_t step, Time now) {
  const bool last = step >= steps_;
  const protocol::Ending ending = last ? std::max(stopping_, protocol::Ending::done) : stopping_;
  const bool checkpoint = ending != protocol::Ending::none || now >= checkpoint_due_;
  if (checkpoint) checkpoint_due_ = now + checkpoint_every_;
  return {checkpoint, ending};
}

void Chief::begin(std::uint64_t step) { awaited_ = step; }

bool Chief::may_commit(std::uint64_t step) const {
  return step >= awaited_ && step >= committed_ && step != given_up_;
}

void Chief::committed(std::uint64_t step) {
  committed_ = std::max(committed_, step);
  if (awaited_ == step) awaited_ = 0;
}

bool Chief::give_up(std::uint64_t step) {
  if (step == 0 || step != awaited_) return false;
  given_up_ = std::exchange(awaited_, 0);
  return true;
}

}  // namespace trainyard::trainer
