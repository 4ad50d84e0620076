#include "daemons/ps/core.hpp"

#include <utility>

#include "common/base/text.hpp"

namespace trainyard::ps {

using protocol::DataHeader;
using protocol::DataKind;

namespace {

std::vector<optim::Slice> slices_of(const DataHeader& header) {
  std::vector<optim::Slice> slices;
  slices.reserve(header.slices.size());
  for (const protocol::SliceInfo& slice : header.slices) {
    slices.push_back({header.shard, slice.offset, slice.length, static_cast<std::uint8_t>(slice.kind)});
  }
  return slices;
}

}  // namespace

Core::Core(const Identity& identity, const config::TrainSection& train)
    : identity_(identity), train_(train), gate_(identity.job, identity.incarnation, identity.trainers, 0) {}

Status Core::restore(std::string_view part) {
  auto table = optim::Table::load(train_, part);
  if (!table) return table.error();
  gate_ = Gate(identity_.job, identity_.incarnation, identity_.trainers, table->step());
  table_ = std::move(*table);
  return {};
}

Outcome Core::on(Arrival arrival) {
  Outcome outcome;
  if (const Verdict verdict = gate_.admit(arrival.header); verdict.passage == Passage::refused) {
    outcome.replies.push_back(refusal(arrival, verdict.reason));
    return outcome;
  }
  switch (arrival.header.kind) {
    case DataKind::init:
      on_init(std::move(arrival), outcome);
      break;
    case DataKind::pull:
      on_pull(std::move(arrival), outcome);
      break;
    case DataKind::push:
      on_push(std::move(arrival), outcome);
      break;
    case DataKind::values:
    case DataKind::refused:
      break;  // a shard's own words; nobody waits for an answer to them
  }
  return outcome;
}

void Core::on_init(Arrival arrival, Outcome& outcome) {
  if (arrival.header.trainer != 0) {
    outcome.replies.push_back(refusal(arrival, "only rank 0 gives the first values"));
    return;
  }
  auto slices = slices_of(arrival.header);
  if (table_) {
    if (slices != table_->slices() || arrival.header.steps_per_epoch != table_->steps_per_epoch()) {
      outcome.replies.push_back(refusal(
          arrival,
          "the checkpoint is of another model, batch size, data set or number of shards than the job"));
    }
    return;
  }
  if (arrival.payload_bytes != arrival.payload.view.size_bytes()) {
    outcome.replies.push_back(refusal(arrival, format("{} bytes are no floats", arrival.payload_bytes)));
    return;
  }
  auto table = optim::Table::make(train_, std::move(slices), arrival.header.steps_per_epoch,
                                  {arrival.payload.view.begin(), arrival.payload.view.end()});
  if (!table) {
    outcome.replies.push_back(refusal(arrival, "first values: " + table.error().message));
    return;
  }
  table_ = std::move(*table);
  for (const auto& [trainer, peer] : pulls_) outcome.replies.push_back(values_for(peer, trainer));
  pulls_.clear();
}

void Core::on_pull(Arrival arrival, Outcome& outcome) {
  if (table_) {
    outcome.replies.push_back(values_for(arrival.peer, arrival.header.trainer));
  } else {
    pulls_[arrival.header.trainer] = arrival.peer;
  }
}

void Core::on_push(Arrival arrival, Outcome& outcome) {
  if (!table_) {
    outcome.replies.push_back(refusal(arrival, "a push before the first values"));
    return;
  }
  // Who has no sample may leave the payload out.
  const bool empty = arrival.header.samples == 0 && arrival.payload_bytes == 0;
  const std::size_t expected = table_->size() * sizeof(float);
  if (!empty && (arrival.payload_bytes != expected || arrival.payload.view.size() != table_->size())) {
    outcome.replies.push_back(
        refusal(arrival, format("a push of {} bytes; this shard holds {}", arrival.payload_bytes, expected)));
    return;
  }
  const Verdict verdict = gate_.push(arrival.header);
  switch (verdict.passage) {
    case Passage::refused:
      outcome.replies.push_back(refusal(arrival, verdict.reason));
      return;
    case Passage::applied:
      outcome.replies.push_back(values_for(arrival.peer, arrival.header.trainer));
      return;
    case Passage::held:
      break;
  }
  const std::uint32_t trainer = arrival.header.trainer;
  pushes_.insert_or_assign(trainer, std::move(arrival));
  if (gate_.complete()) apply(outcome);
}

void Core::apply(Outcome& outcome) {
  std::vector<optim::Contribution> contributions;  // in rank order, as the map has them
  for (const auto& [trainer, push] : pushes_) {
    contributions.push_back({push.header.samples, push.payload.view});
  }
  table_->apply(contributions);
  gate_.pass();
  const DataHeader chief = std::move(pushes_.at(0).header);
  last_ = chief.last;
  for (const auto& [trainer, push] : pushes_) outcome.replies.push_back(values_for(push.peer, trainer));
  pushes_.clear();
  if (chief.checkpoint) outcome.save = table_->save();
}

Reply Core::values_for(const std::string& peer, std::uint32_t trainer) const {
  DataHeader header{.kind = DataKind::values,
                    .job = identity_.job,
                    .incarnation = identity_.incarnation,
                    .trainer = trainer,
                    .shard = identity_.shard,
                    .sequence = table_->step()};
  header.last = last_;
  return {peer, std::move(header), table_->values()};
}

Reply Core::refusal(const Arrival& arrival, std::string reason) const {
  return {arrival.peer,
          {.kind = DataKind::refused,
           .job = identity_.job,
           .incarnation = identity_.incarnation,
           .trainer = arrival.header.trainer,
           .shard = identity_.shard,
           .sequence = arrival.header.sequence,
           .reason = std::move(reason)},
          nullptr};
}

}  // namespace trainyard::ps
