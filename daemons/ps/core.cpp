#include "daemons/ps/core.hpp"

#include <cstring>
#include <utility>

#include "common/base/json.hpp"
#include "common/base/text.hpp"
#include "common/codec/codec.hpp"

namespace trainyard::ps {

using protocol::DataHeader;
using protocol::DataKind;

namespace {

constexpr std::string_view magic = "TYS1";
constexpr std::size_t prefix_bytes = 8;
constexpr std::size_t json_bytes_max = 1 << 20;

std::vector<optim::Slice> slices_of(const DataHeader& header) {
  std::vector<optim::Slice> slices;
  slices.reserve(header.slices.size());
  for (const protocol::SliceInfo& slice : header.slices) {
    slices.push_back({header.shard, slice.offset, slice.length, static_cast<std::uint8_t>(slice.kind),
                      slice.rate, slice.decay});
  }
  return slices;
}

/// What the shard's table does: where trainers step by themselves, changes are added as they are.
config::TrainSection central(const config::TrainSection& train, config::UpdateRule rule) {
  if (!config::steps_locally(rule)) return train;
  config::TrainSection out;
  out.epochs = train.epochs;
  out.optimizer = {.kind = config::OptimizerKind::sgd, .learning_rate = 1, .momentum = 0};
  return out;
}

Clocks clocks_of(const std::vector<std::uint64_t>& pushes, const config::StrategySection& strategy) {
  return {pushes, strategy.update == config::UpdateRule::ssp
                      ? std::optional<std::uint64_t>(strategy.staleness)
                      : std::nullopt};
}

Error broken(const std::string& what) { return {Errc::corrupt, "a shard's part: " + what}; }

}  // namespace

Core::Core(const Identity& identity, const config::TrainSection& train,
           const config::StrategySection& strategy)
    : identity_(identity),
      train_(central(train, strategy.update)),
      strategy_(strategy),
      gate_(identity.job, identity.incarnation, identity.trainers, 0, strategy.backup_trainers),
      counted_(identity.trainers, 0),
      clocks_(clocks_of(std::vector<std::uint64_t>(identity.trainers, 0), strategy)),
      readings_(identity.trainers) {
  counts_.staleness.assign(Counts::staleness_max + 1, 0);
}

optim::Table::Delayed Core::delayed() const {
  return strategy_.update == config::UpdateRule::dc_asgd ? optim::Table::Delayed(strategy_.delay)
                                                         : std::nullopt;
}

std::vector<std::span<const std::byte>> SavedPart::pieces() const {
  std::vector<std::span<const std::byte>> out{std::as_bytes(std::span(prefix))};
  for (const auto& piece : table.pieces()) out.push_back(piece);
  return out;
}

SavedPart Core::save(std::uint64_t checkpoint) const {
  Json json{{"checkpoint", checkpoint}};
  if (!together()) json["pushes"] = clocks_.all_pushes();
  std::string text = to_text(json);
  text.append((4 - text.size() % 4) % 4, ' ');  // values stay aligned
  const auto length = static_cast<std::uint32_t>(text.size());
  std::string prefix(magic);
  prefix.append(reinterpret_cast<const char*>(&length), sizeof(length));
  return {checkpoint, prefix + text, table_->save()};
}

struct Core::Restored {
  std::uint64_t checkpoint = 0;
  std::vector<std::uint64_t> pushes;
  optim::Table table;
};

Result<Core::Restored> Core::read(std::string_view part) const {
  std::uint32_t length = 0;
  if (part.size() < prefix_bytes || !part.starts_with(magic)) return broken("not what this program writes");
  std::memcpy(&length, part.data() + magic.size(), sizeof(length));
  part.remove_prefix(prefix_bytes);
  if (length > part.size() || length > json_bytes_max) return broken("cut short");
  const auto json = parse_json(part.substr(0, length), json_bytes_max);
  part.remove_prefix(length);
  if (!json || !json->is_object()) return broken("unreadable header");
  const auto number = json->find("checkpoint");
  if (number == json->end() || !number->is_number_unsigned()) return broken("no number");
  std::vector<std::uint64_t> pushes(identity_.trainers, 0);
  if (!together()) {
    const auto list = json->find("pushes");
    if (list == json->end() || !list->is_array() || list->size() != identity_.trainers)
      return broken("made by another number of trainers, or by trainers that step together");
    for (std::size_t rank = 0; rank < pushes.size(); ++rank) {
      if (!(*list)[rank].is_number_unsigned()) return broken("unreadable header");
      pushes[rank] = (*list)[rank].get<std::uint64_t>();
    }
  }
  auto table = optim::Table::load(train_, part, delayed());
  if (!table) return table.error();
  return Restored{number->get<std::uint64_t>(), std::move(pushes), std::move(*table)};
}

void Core::go_on_from(const Restored& restored, std::uint64_t step) {
  gate_ = Gate(identity_.job, identity_.incarnation, identity_.trainers, step, strategy_.backup_trainers);
  counted_.assign(identity_.trainers, step);
  clocks_ = clocks_of(restored.pushes, strategy_);
  checkpoint_ = restored.checkpoint;
}

Status Core::restore(std::string_view part) {
  auto restored = read(part);
  if (!restored) return restored.error();
  go_on_from(*restored, restored->table.step());
  table_ = std::move(restored->table);
  table_->keep_spare(identity_.trainers + 2);
  return {};
}

Status Core::restore_from_others(std::span<const std::string> parts) {
  std::vector<optim::Table> tables;
  for (const std::string& part : parts) {
    auto restored = read(part);
    if (!restored) return restored.error();
    if (tables.empty())
      go_on_from(*restored, restored->table.step());
    else if (restored->checkpoint != checkpoint_ || restored->pushes != clocks_.all_pushes())
      return broken("of another checkpoint than the others");
    tables.push_back(std::move(restored->table));
  }
  if (tables.empty()) return broken("there is none");
  others_ = std::move(tables);
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
    case DataKind::mark:
      on_mark(arrival, outcome);
      break;
    case DataKind::leave:
      on_leave(arrival, outcome);
      break;
    case DataKind::values:
    case DataKind::refused:
    case DataKind::squares:
    case DataKind::cut:
    case DataKind::follow:
    case DataKind::logged:
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
  if (!others_.empty()) {
    auto regrouped = optim::Table::regroup(train_, std::move(slices), others_, delayed());
    if (regrouped && regrouped->steps_per_epoch() != arrival.header.steps_per_epoch)
      regrouped = Error{Errc::invalid, "the checkpoint is of another batch size or data set"};
    if (!regrouped) {
      outcome.replies.push_back(refusal(arrival, regrouped.error().message));
      return;
    }
    others_.clear();
    return begin_with(std::move(*regrouped), outcome);
  }
  const auto floats = arrival.payload.floats();
  if (arrival.payload.bytes.size() != floats.size_bytes()) {
    outcome.replies.push_back(
        refusal(arrival, format("{} bytes are no floats", arrival.payload.bytes.size())));
    return;
  }
  auto table = optim::Table::make(train_, std::move(slices), arrival.header.steps_per_epoch,
                                  {floats.begin(), floats.end()}, delayed());
  if (!table) {
    outcome.replies.push_back(refusal(arrival, "first values: " + table.error().message));
    return;
  }
  begin_with(std::move(*table), outcome);
}

void Core::begin_with(optim::Table table, Outcome& outcome) {
  table_ = std::move(table);
  table_->keep_spare(identity_.trainers + 2);
  for (const auto& [trainer, peer] : pulls_) outcome.replies.push_back(values_for(peer, trainer));
  pulls_.clear();
}

void Core::on_pull(Arrival arrival, Outcome& outcome) {
  const std::uint32_t trainer = arrival.header.trainer;
  if (arrival.header.averages) {
    Reply reply;
    if (const auto averages = table_ ? table_->averages() : nullptr) {
      reply = {arrival.peer, header(DataKind::values, trainer, sequence_for(trainer)), averages};
      reply.header.averages = true;
    } else {
      reply = refusal(arrival, "this shard keeps no averages");
    }
    outcome.replies.push_back(std::move(reply));
  } else if (table_) {
    outcome.replies.push_back(values_for(arrival.peer, trainer));
  } else {
    pulls_[trainer] = arrival.peer;
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
  if (together())
    push_together(std::move(arrival), outcome);
  else
    push_apart(std::move(arrival), outcome);
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

DataHeader Core::header(DataKind kind, std::uint32_t trainer, std::uint64_t sequence) const {
  return {.kind = kind,
          .job = identity_.job,
          .incarnation = identity_.incarnation,
          .trainer = trainer,
          .shard = identity_.shard,
          .sequence = sequence};
}

std::uint64_t Core::sequence_for(std::uint32_t trainer) const {
  return together() ? table_->step() : clocks_.pushes(trainer);
}

Reply Core::values_for(const std::string& peer, std::uint32_t trainer) {
  Reply reply{peer, header(DataKind::values, trainer, sequence_for(trainer)), table_->values()};
  reply.header.ending = ending_;
  reply.header.version = table_->step();
  if (!together()) {
    Reading& reading = readings_[trainer];
    reading.version = table_->step();
    if (delayed()) reading.values = table_->values();
    reply.header.cut = clocks_.cut().value_or(0);
    reply.header.staleness = reading.staleness;
  }
  return reply;
}

Reply Core::refusal(const Arrival& arrival, std::string reason) const {
  Reply reply{arrival.peer, header(DataKind::refused, arrival.header.trainer, arrival.header.sequence),
              nullptr};
  reply.header.reason = std::move(reason);
  return reply;
}

}  // namespace trainyard::ps
