#include "daemons/ps/gate.hpp"

#include "common/base/check.hpp"
#include "common/base/text.hpp"

namespace trainyard::ps {

Gate::Gate(std::uint64_t job, std::uint32_t incarnation, std::uint32_t trainers, std::uint64_t step,
           std::uint32_t backups)
    : job_(job),
      incarnation_(incarnation),
      step_(step),
      backups_(backups),
      here_(trainers, false),
      waiting_(trainers) {
  check(backups < trainers, "a gate needs trainers, and more of them than backups");
}

Verdict Gate::admit(const protocol::DataHeader& header) const {
  if (header.job != job_) {
    return {Passage::refused, format("this shard is of job {}, not of job {}", job_, header.job)};
  }
  if (header.incarnation != incarnation_) {
    return {Passage::refused, format("incarnation {} is over; this shard is of incarnation {}",
                                     header.incarnation, incarnation_)};
  }
  if (header.trainer >= here_.size()) {
    return {Passage::refused, format("rank {} in a gang of {}", header.trainer, here_.size())};
  }
  return {};
}

Verdict Gate::push(const protocol::DataHeader& header) {
  if (Verdict verdict = admit(header); verdict.passage == Passage::refused) return verdict;
  if (header.sequence <= step_) return {Passage::applied, {}};
  if (header.sequence != step_ + 1) {
    return {Passage::refused, format("step {} was pushed while step {} is due", header.sequence, step_ + 1)};
  }
  if (!here_[header.trainer]) {
    here_[header.trainer] = true;
    --waiting_;
  }
  return {};
}

void Gate::pass() {
  check(complete(), "a step passes the gate when all have pushed it");
  ++step_;
  here_.assign(here_.size(), false);
  waiting_ = trainers();
}

}  // namespace trainyard::ps
