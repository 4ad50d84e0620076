// Where trainers do not step together: what rank 0 says with which push, the end, and steps that went on
// without this trainer.
#include "common/base/log.hpp"
#include "daemons/trainer/training.hpp"

namespace trainyard::trainer {

using protocol::Ending;

namespace {

bool apart(const config::JobSpec& job) {
  return job.strategy.kind == config::StrategyKind::parameter_server && !config::in_step(job.strategy.update);
}

}  // namespace

/// The last checkpoint is made once all have left. Who is done with all steps leaves the others theirs; who
/// stops before takes them along.
Marks Training::marks_of(std::uint64_t step, Time computed) {
  Marks marks = chief_->mark(step, computed);
  if (apart(job_) && marks.ending != Ending::none) {
    marks.checkpoint = false;
    if (!chief_->stopping()) marks.ending = Ending::none;
  }
  return marks;
}

Status Training::leave() {
  if (!apart(job_)) return {};
  const std::uint64_t number = is_chief() && !ended_before_ ? done_ : 0;
  if (is_chief()) log::info("all steps are done; waits for the others");
  const Status left =
      exchange_->leave({.checkpoint = number > 0, .ending = ending_}, number, network_->values());
  if (!left) return left;
  if (number > 0) save(number, ending_ == Ending::done);
  return {};
}

/// As a backup: the others were faster. Their records are read, so that the ones after them come in order.
Status Training::pass_over(std::uint64_t until) {
  for (std::uint64_t step = done_ + 1; step <= until; ++step) {
    request_ahead(step);
    for (std::size_t i = batches_.front(); i > 0; --i) static_cast<void>(next_batch());
    batches_.pop_front();
    done_ = step;
    counted_.dropped.add();
    end_partition(step);
    if (plan_->ends_epoch(step)) {
      if (const Status ended = end_epoch(step); !ended) return ended;
    }
  }
  return {};
}

}  // namespace trainyard::trainer
