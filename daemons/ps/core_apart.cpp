// Pushes of trainers that step by themselves: applied as they come, each once; values go back when staleness
// allows; checkpoints along a cut.
#include <algorithm>
#include <utility>

#include "common/base/text.hpp"
#include "daemons/ps/core.hpp"

namespace trainyard::ps {

using protocol::DataHeader;
using protocol::DataKind;

void Core::push_apart(Arrival arrival, Outcome& outcome) {
  const DataHeader& header = arrival.header;
  const std::uint32_t trainer = header.trainer;
  const std::uint64_t due = clocks_.pushes(trainer) + 1;
  if (clocks_.left(trainer)) {
    outcome.replies.push_back(refusal(arrival, "a push after the last one"));
    return;
  }
  if (header.sequence < due) {  // sent again
    ++counts_.repeated;
    answer_apart(trainer, arrival.peer, outcome);
    return;
  }
  if (header.sequence > due) {
    outcome.replies.push_back(
        refusal(arrival, format("step {} was pushed while step {} is due", header.sequence, due)));
    return;
  }
  if (header.cut > 0) {  // the mark before it may be lost
    const bool begins = !clocks_.cut();
    clocks_.mark(trainer, header.cut, due - 1);
    if (begins) tell_all_of_cut(outcome);
    let_go(outcome);
  }
  if (clocks_.is_beyond_cut(trainer))
    beyond_cut_.insert_or_assign(trainer, std::move(arrival));
  else
    apply_apart(arrival, outcome);
  let_go(outcome);
}

void Core::apply_apart(const Arrival& arrival, Outcome& outcome) {
  const DataHeader& header = arrival.header;
  Reading& reading = readings_[header.trainer];
  reading.staleness = table_->step() - reading.version;
  optim::Circumstances circumstances;
  if (train_.clip.norm) circumstances.norm = header.norm;
  if (reading.values) circumstances.seen = *reading.values;
  // Zhang and others 2016, eq. 6, where the delay counts from 1.
  if (strategy_.update == config::UpdateRule::dynsgd)
    circumstances.slowness = static_cast<double>(reading.staleness + 1);
  const optim::Contribution contribution{header.samples, arrival.payload.floats(), {}};
  table_->apply({&contribution, 1}, circumstances);
  reading.values.reset();
  clocks_.applied(header.trainer);
  ending_ = std::max(ending_, header.ending);
  ++counts_.pushes;
  counts_.staleness_sum += reading.staleness;
  ++counts_.staleness[std::min<std::uint64_t>(reading.staleness, Counts::staleness_max)];
  counts_.spread = std::max(counts_.spread, clocks_.spread());
  const bool begins = !clocks_.cut();
  if (header.checkpoint > 0) clocks_.mark(header.trainer, header.checkpoint, header.sequence);
  if (begins) tell_all_of_cut(outcome);
  answer_apart(header.trainer, arrival.peer, outcome);
}

void Core::answer_apart(std::uint32_t trainer, const std::string& peer, Outcome& outcome) {
  if (clocks_.may_read(trainer)) {
    outcome.replies.push_back(values_for(peer, trainer));
    return;
  }
  ahead_[trainer] = peer;
  tell_of_cut(trainer, peer, outcome);
}

/// Who waits for others to push would else hear of a checkpoint only after them, and they may wait for its
/// mark.
void Core::tell_of_cut(std::uint32_t trainer, const std::string& peer, Outcome& outcome) const {
  if (!clocks_.cut() || clocks_.marked(trainer)) return;
  Reply reply{peer, header(DataKind::cut, trainer, clocks_.pushes(trainer)), nullptr};
  reply.header.cut = *clocks_.cut();
  outcome.replies.push_back(std::move(reply));
}

void Core::tell_all_of_cut(Outcome& outcome) const {
  for (const auto& [trainer, peer] : ahead_) tell_of_cut(trainer, peer, outcome);
}

void Core::on_mark(const Arrival& arrival, Outcome& outcome) {
  const DataHeader& header = arrival.header;
  if (!together() && table_ && header.sequence < clocks_.pushes(header.trainer)) return;  // its push told it
  if (together() || !table_ || header.sequence > clocks_.pushes(header.trainer) + 1 || header.cut == 0) {
    outcome.replies.push_back(
        refusal(arrival, format("a mark of checkpoint {} after step {}, which nobody waits for", header.cut,
                                header.sequence)));
    return;
  }
  const bool begins = !clocks_.cut();
  clocks_.mark(header.trainer, header.cut, header.sequence);
  if (begins) tell_all_of_cut(outcome);
  let_go(outcome);
}

void Core::on_leave(const Arrival& arrival, Outcome& outcome) {
  const DataHeader& header = arrival.header;
  const std::uint32_t trainer = header.trainer;
  if (together() || !table_ || header.sequence != clocks_.pushes(trainer)) {
    outcome.replies.push_back(refusal(
        arrival, format("trainer-{} leaves after step {}, which is not its last", trainer, header.sequence)));
    return;
  }
  clocks_.leave(trainer);
  if (header.ending == protocol::Ending::stopped) ending_ = header.ending;
  if (trainer == 0)
    chief_leaves_ = arrival;
  else
    outcome.replies.push_back(last_values(arrival.peer, trainer));
  let_go(outcome);
}

Reply Core::last_values(const std::string& peer, std::uint32_t trainer) {
  Reply reply = values_for(peer, trainer);
  reply.header.last = true;
  return reply;
}

void Core::let_go(Outcome& outcome) {
  while (clocks_.cut_is_whole()) {
    outcome.saves.push_back(save(*clocks_.cut()));
    clocks_.end_cut();
    for (const auto& [trainer, push] : std::exchange(beyond_cut_, {})) apply_apart(push, outcome);
  }
  for (auto it = ahead_.begin(); it != ahead_.end();) {
    if (!clocks_.may_read(it->first)) {
      ++it;
      continue;
    }
    outcome.replies.push_back(values_for(it->second, it->first));
    it = ahead_.erase(it);
  }
  if (!chief_leaves_ || !clocks_.all_left()) return;
  const DataHeader& last = chief_leaves_->header;
  if (!std::exchange(ended_, true) && last.checkpoint > 0) outcome.saves.push_back(save(last.checkpoint));
  outcome.replies.push_back(last_values(chief_leaves_->peer, 0));
  outcome.replies.back().header.ending = std::max(ending_, last.ending);
  chief_leaves_.reset();
}

}  // namespace trainyard::ps
