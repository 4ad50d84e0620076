// The ends of partitions and epochs: reports, validation, the history, early stopping; and the moving
// averages that validation, test and bundle use.
#include <algorithm>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "daemons/trainer/training.hpp"

namespace trainyard::trainer {

namespace {

constexpr Duration pace_window = 2s;

Time now() { return std::chrono::steady_clock::now(); }

std::string epoch_text(const EpochRow& row, std::uint64_t epochs) {
  std::string text = format("epoch {}/{}, step {}", row.epoch, epochs, row.step);
  for (const char* key : {"train/loss", "train/accuracy", "validation/loss", "validation/accuracy"}) {
    if (const auto it = row.metrics.find(key); it != row.metrics.end())
      text += format(", {} {:.4f}", key, it->second);
  }
  return text;
}

}  // namespace

void Training::end_partition(std::uint64_t step) {
  const Run run = plan_->run_of(step);
  if (step != run.last && ending_ == protocol::Ending::none) return;
  link_.report(protocol::PartitionDone{environment_.key, run.partition, partition_samples_, partition_bad_,
                                       partition_bad_count_});
  partition_samples_ = partition_bad_count_ = 0;
  partition_bad_.clear();
}

Status Training::end_epoch(std::uint64_t step) {
  const double samples = std::max(1.0, static_cast<double>(sums_.samples));
  const Duration took = now() - sums_.since;
  std::map<std::string, double> metrics{
      {"train/loss", sums_.loss / samples},
      {"train/accuracy", static_cast<double>(sums_.correct) / samples},
      {"learning_rate", learning_rate(step)},
      {"samples_per_second", samples * job_.cluster.trainers / seconds(took)},
      {"wait/input", seconds(sums_.input) / seconds(took)},
      {"wait/compute", seconds(sums_.compute) / seconds(took)},
      {"wait/exchange", seconds(sums_.exchange) / seconds(took)}};
  if (!config::in_step(job_.strategy.update)) {
    metrics["staleness/mean"] =
        static_cast<double>(sums_.staleness) / static_cast<double>(std::max<std::uint64_t>(sums_.steps, 1));
    metrics["staleness/max"] = static_cast<double>(sums_.staleness_max);
  }
  if (job_.train.precision == config::Precision::fp16)
    metrics["overflows"] = static_cast<double>(sums_.overflows);
  if (is_chief()) {
    if (!split_.validation.empty()) {
      std::vector<float> own;
      if (job_.train.ema) {
        own.assign(network_->values().begin(), network_->values().end());
        if (const Status taken = take_averages(); !taken) return taken;
      }
      const Evaluation validation =
          evaluate(*network_, *dataset_, *pipeline_, split_.validation, job_.data.batch_size,
                   std::max(1u, job_.data.loaders), link_.cancelled);
      if (job_.train.ema) std::copy(own.begin(), own.end(), network_->values().begin());
      metrics["validation/loss"] = validation.metrics.loss;
      metrics["validation/accuracy"] = validation.metrics.accuracy;
      skipped_.insert(validation.bad.begin(), validation.bad.end());
    }
    metrics["seconds"] = seconds(now() - sums_.since);
    history_.push_back({plan_->epoch_of(step) + 1, step, metrics});
    log::info("{}", epoch_text(history_.back(), plan_->epochs()));
    if (job_.train.early_stop && should_stop_early(*job_.train.early_stop, history_)) {
      log::info("{} did not get better for {} epochs; training stops", job_.train.early_stop->metric,
                job_.train.early_stop->patience);
      chief_->stop(protocol::Ending::done);
    }
  }
  tell_progress("evaluate", step, metrics);
  sums_ = {.since = now()};
  return {};
}

/// Seconds a step, over a window of some seconds.
void Training::add_pace(std::map<std::string, double>& metrics) {
  const auto steps = static_cast<double>(std::max<std::uint64_t>(pace_.steps, 1));
  metrics["pace/input"] = seconds(pace_.input) / steps;
  metrics["pace/compute"] = seconds(pace_.compute) / steps;
  metrics["pace/exchange"] = seconds(pace_.exchange) / steps;
  if (now() - pace_.since > pace_window) pace_ = {.since = now()};
}

/// The network's values become the moving averages.
Status Training::take_averages() {
  if (!job_.train.ema) return {};
  const Status taken = exchange_->averages(network_->values());
  return taken ? taken : taken.error().with("train.ema");
}

}  // namespace trainyard::trainer
