#include "daemons/trainer/watch.hpp"

#include <cmath>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/graph/finite.hpp"
#include "common/store/file.hpp"

namespace trainyard::trainer {

namespace {

constexpr std::uint32_t warm_batches = 3, window_batches = 20;

}  // namespace

Watch::Watch(graph::Network& network, const config::JobSpec& job, const runtime::TaskEnvironment& environment)
    : network_(network),
      row_widths_(network.row_widths()),
      batch_(job.data.batch_size),
      rank_(static_cast<int>(environment.key.task.index)),
      directory_(environment.output_dir),
      wanted_(job.train.profile) {}

graph::Observer* Watch::observer(std::uint32_t count) {
  if (!wanted_ || count != batch_ || ++seen_ <= warm_batches) return nullptr;
  if (!profiler_) profiler_.emplace(network_.program(true), network_.model().graph.origins);
  return &*profiler_;
}

void Watch::spent(const char* what, Time from, Time to) {
  if (profiler_) profiler_->span(what, from, to);
}

void Watch::step_ends() {
  if (profiler_ && seen_ >= warm_batches + window_batches) report();
}

void Watch::finish() {
  if (profiler_) report();
  if (wanted_) log::warn("train.profile: no full batch of {} came after the first {}", batch_, warm_batches);
}

void Watch::report() {
  std::string table = profiler_->table();
  while (table.ends_with('\n')) table.pop_back();
  log::info("profile, {}", table);
  const std::string file =
      directory_ + (rank_ == 0 ? std::string("/trace.json") : format("/trace-{}.json", rank_));
  Status written = store::make_directories(directory_);
  if (written) written = store::write_atomic(file, profiler_->trace(rank_));
  if (written)
    log::info("the steps' trace is in {}", file);
  else
    log::warn("no trace is left: {}", written.error().message);
  profiler_.reset();
  wanted_ = false;
}

Status Watch::check_finite(const graph::StepResult& result, const graph::Feed& feed) {
  if (result.finite && (feed.update != nullptr || graph::finite_gradients(network_, row_widths_))) return {};
  graph::Feed again = feed;
  again.update = nullptr;
  const graph::NotFinite found = graph::not_finite_cause(network_, again);
  const bool rate = found.source != graph::NotFinite::Source::data;
  return Error{Errc::invalid,
               format("the {} not finite at step {}: {}; {}",
                      std::isfinite(result.loss_sum) ? "gradients are" : "loss is", feed.step, found.text,
                      rate ? "lower train.optimizer.learning_rate or add warmup_steps to "
                             "train.schedule"
                           : "look at data.transform")};
}

}  // namespace trainyard::trainer
