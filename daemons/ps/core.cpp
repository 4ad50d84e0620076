#include "daemons/ps/core.hpp"

#include <utility>

#include "common/base/text.hpp"
#include "common/codec/codec.hpp"

namespace trainyard::ps {

using protocol::DataHeader;
using protocol::DataKind;

namespace {

std::vector<optim::Slice> slices_of(const DataHeader& header) {
  std::vector<optim::Slice> slices;
  slices.reserve(header.slices.size());
  for (const protocol::SliceInfo& slice : header.slices) {
    slices.push_back({header.shard, slice.offset, slice.length, static_cast<std::uint8_t>(slice.kind),
                      slice.rate, slice.decay});
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
    case DataKind::norm:
      on_norm(arrival, outcome);
      break;
    case DataKind::values:
    case DataKind::refused:
    case DataKind::squares:
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
          "the checkpoint is of another model, batch size, data set, number of shards or settings of tensors "
          "than the job"));
    }
    return;
  }
  const auto floats = arrival.payload.floats();
  if (arrival.payload.bytes.size() != floats.size_bytes()) {
    outcome.replies.push_back(
        refusal(arrival, format("{} bytes are no floats", arrival.payload.bytes.size())));
    return;
  }
  auto table = optim::Table::make(train_, std::move(slices), arrival.header.steps_per_epoch,
                                  {floats.begin(), floats.end()});
  if (!table) {
    outcome.replies.push_back(refusal(arrival, "first values: " + table.error().message));
    return;
  }
  table_ = std::move(*table);
  for (const auto& [trainer, peer] : pulls_) outcome.replies.push_back(values_for(peer, trainer));
  pulls_.clear();
}

void Core::on_pull(Arrival arrival, Outcome& outcome) {
  if (arrival.header.averages) {
    Reply reply;
    if (const auto averages = table_ ? table_->averages() : nullptr) {
      reply = {arrival.peer, header(DataKind::values, arrival.header.trainer, table_->step()), averages};
      reply.header.averages = true;
    } else {
      reply = refusal(arrival, "this shard keeps no averages");
    }
    outcome.replies.push_back(std::move(reply));
  } else if (table_) {
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
  const bool empty = arrival.header.samples == 0 && arrival.payload.bytes.empty();
  if (const Status decoded = empty ? Status{} : decode(arrival); !decoded) {
    outcome.replies.push_back(refusal(arrival, decoded.error().message));
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
  if (squares_) {
    // Summed already: the double only tells where its trainer is to be answered.
    pushes_.at(trainer).peer = arrival.peer;
    if (trainer == 0) outcome.replies.push_back(squares());
    return;
  }
  pushes_.insert_or_assign(trainer, std::move(arrival));
  if (!gate_.complete()) return;
  if (shares_norm()) {
    squares_ = table_->square_sums(contributions());
    outcome.replies.push_back(squares());
  } else {
    apply(outcome, std::nullopt);
  }
}

Status Core::decode(Arrival& arrival) const {
  const std::size_t bytes = arrival.payload.bytes.size(), expected = table_->size() * sizeof(float);
  if (arrival.header.coding == config::Compression::none) {
    if (bytes == expected) return {};
    return Error{Errc::invalid, format("a push of {} bytes; this shard holds {}", bytes, expected)};
  }
  std::vector<codec::Part> parts;
  for (const optim::Slice& slice : table_->slices())
    parts.push_back({slice.length, slice.kind == static_cast<std::uint8_t>(optim::ValueKind::buffer)});
  auto floats = std::make_shared<std::vector<float>>(table_->size());
  const Status decoded = codec::decode(arrival.header.coding, parts, arrival.payload.bytes, *floats);
  if (!decoded) return decoded.error().with("a push");
  const auto view = std::as_bytes(std::span(*floats));
  arrival.payload = {view, std::move(floats)};
  return {};
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

std::vector<optim::Contribution> Core::contributions() const {
  std::vector<optim::Contribution> out;  // in rank order, as the map has them
  for (const auto& [trainer, push] : pushes_) out.push_back({push.header.samples, push.payload.floats()});
  return out;
}

void Core::apply(Outcome& outcome, std::optional<double> norm) {
  table_->apply(contributions(), norm);
  squares_.reset();
  gate_.pass();
  const DataHeader chief = std::move(pushes_.at(0).header);
  ending_ = chief.ending;
  for (const auto& [trainer, push] : pushes_) outcome.replies.push_back(values_for(push.peer, trainer));
  pushes_.clear();
  if (chief.checkpoint) outcome.save = table_->save();
}

DataHeader Core::header(DataKind kind, std::uint32_t trainer, std::uint64_t sequence) const {
  return {.kind = kind,
          .job = identity_.job,
          .incarnation = identity_.incarnation,
          .trainer = trainer,
          .shard = identity_.shard,
          .sequence = sequence};
}

Reply Core::values_for(const std::string& peer, std::uint32_t trainer) const {
  Reply reply{peer, header(DataKind::values, trainer, table_->step()), table_->values()};
  reply.header.ending = ending_;
  return reply;
}

Reply Core::squares() const {
  Reply reply{pushes_.at(0).peer, header(DataKind::squares, 0, gate_.step() + 1), nullptr};
  reply.header.square_sums = *squares_;
  return reply;
}

Reply Core::refusal(const Arrival& arrival, std::string reason) const {
  Reply reply{arrival.peer, header(DataKind::refused, arrival.header.trainer, arrival.header.sequence),
              nullptr};
  reply.header.reason = std::move(reason);
  return reply;
}

}  // namespace trainyard::ps
