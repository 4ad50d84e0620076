// Pushes of trainers that step together: kept until the step is complete, then applied in rank order.
#include <utility>

#include "common/base/text.hpp"
#include "daemons/ps/core.hpp"

namespace trainyard::ps {

using protocol::DataHeader;
using protocol::DataKind;

void Core::push_together(Arrival arrival, Outcome& outcome) {
  const std::uint32_t trainer = arrival.header.trainer;
  const Verdict verdict = gate_.push(arrival.header);
  switch (verdict.passage) {
    case Passage::refused:
      outcome.replies.push_back(refusal(arrival, verdict.reason));
      return;
    case Passage::applied:
      // Its step is over, with it or without it.
      ++(arrival.header.sequence > counted_[trainer] ? counts_.dropped : counts_.repeated);
      counted_[trainer] = std::max(counted_[trainer], arrival.header.sequence);
      outcome.replies.push_back(values_for(arrival.peer, trainer));
      return;
    case Passage::held:
      break;
  }
  if (squares_) {
    // Summed already: a double only tells where its trainer is to be answered, and a backup comes too late.
    if (const auto push = pushes_.find(trainer); push != pushes_.end())
      push->second.peer = arrival.peer;
    else
      late_[trainer] = arrival.peer;
    if (trainer == 0) outcome.replies.push_back(squares());
    return;
  }
  if (trainer < summed_to_)
    pushes_.at(trainer).peer = arrival.peer;  // a double of what is in the sum
  else
    pushes_.insert_or_assign(trainer, std::move(arrival));
  if (!gate_.complete()) {
    sum_up();
    return;
  }
  if (shares_norm()) {
    squares_ = table_->square_sums(contributions());
    outcome.replies.push_back(squares());
  } else {
    apply(outcome, std::nullopt);
  }
}

/// The answer to squares(). It may come twice, and the second one after the update.
void Core::on_norm(const Arrival& arrival, Outcome& outcome) {
  const DataHeader& header = arrival.header;
  if (header.trainer != 0) {
    outcome.replies.push_back(refusal(arrival, "only rank 0 gives the norm"));
  } else if (table_ && header.sequence <= gate_.step()) {
    outcome.replies.push_back(values_for(arrival.peer, header.trainer));
  } else if (!squares_ || header.sequence != gate_.step() + 1) {
    outcome.replies.push_back(
        refusal(arrival, format("a norm of step {}, whose gradients are not all here", header.sequence)));
  } else {
    pushes_.at(0).peer = arrival.peer;
    apply(outcome, header.norm);
  }
}

/// What is there of the ranks from 0 on is summed while the others are awaited, and held no longer.
void Core::sum_up() {
  for (auto at = pushes_.find(summed_to_); at != pushes_.end(); at = pushes_.find(summed_to_)) {
    Payload& payload = at->second.payload;
    if (!summed_.add(at->second.header.samples, payload.floats(), payload.owner)) return;
    payload = {};
    ++summed_to_;
  }
}

std::vector<optim::Contribution> Core::contributions() const {
  std::vector<optim::Contribution> out{summed_.sum()};
  for (const auto& [trainer, push] : pushes_)  // in rank order, as the map has them
    if (trainer >= summed_to_) out.push_back({push.header.samples, push.payload.floats()});
  return out;
}

void Core::apply(Outcome& outcome, std::optional<double> norm) {
  table_->apply(contributions(), {.norm = norm});
  squares_.reset();
  gate_.pass();
  const DataHeader chief = std::move(pushes_.at(0).header);
  ending_ = chief.ending;
  for (const auto& [trainer, push] : pushes_) {
    counted_[trainer] = gate_.step();
    outcome.replies.push_back(values_for(push.peer, trainer));
  }
  counts_.pushes += pushes_.size();
  counts_.staleness[0] += pushes_.size();
  pushes_.clear();
  summed_.clear();
  summed_to_ = 0;
  for (const auto& [trainer, peer] : late_) {
    counted_[trainer] = gate_.step();
    ++counts_.dropped;
    outcome.replies.push_back(values_for(peer, trainer));
  }
  late_.clear();
  if (chief.checkpoint > 0) outcome.saves.push_back(save(chief.checkpoint));
}

Reply Core::squares() const {
  Reply reply{pushes_.at(0).peer, header(DataKind::squares, 0, gate_.step() + 1), nullptr};
  reply.header.square_sums = *squares_;
  return reply;
}

}  // namespace trainyard::ps
