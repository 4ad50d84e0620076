#include "daemons/ps/row_service.hpp"

#include <cstring>
#include <utility>

#include "common/base/text.hpp"
#include "common/optim/schedule.hpp"
#include "common/rows/ids.hpp"
#include "common/store/file.hpp"

namespace trainyard::ps {

using protocol::RowsHeader;
using protocol::RowsKind;

namespace {

// In front of a table's own file: letters, their and the step's CRC-32, the step.
constexpr char letters[4] = {'T', 'Y', 'S', '1'};
struct Front {
  char letters[4];
  std::uint32_t sum;
  std::uint64_t step;
};

Front front_of(std::uint64_t step) {
  Front front{};
  std::memcpy(front.letters, letters, sizeof(letters));
  front.step = step;
  front.sum = store::crc32(std::as_bytes(std::span(&front.step, 1)));
  return front;
}

rows::Settings settings_of(std::uint64_t number, const protocol::RowTable& spec,
                           const config::OptimizerSection& optimizer, const std::string& directory) {
  return {.table = number,
          .seed = spec.seed,
          .width = spec.width,
          .first = {static_cast<rows::FirstKind>(spec.first), spec.scale},
          .optimizer = optimizer,
          .rule = {optim::ValueKind::weight, spec.rate, spec.decay},
          .admit_after = spec.admit_after,
          .filter_cells = spec.filter_cells,
          .expire_after = spec.expire_after,
          .memory_bytes_max = spec.memory_bytes_max,
          .spill_directory = spec.memory_bytes_max > 0 ? directory : ""};
}

rows::Partition partition_of(const protocol::RowTable& spec, const Identity& identity) {
  return {static_cast<rows::Spread>(spec.spread), identity.shards, spec.ids};
}

}  // namespace

RowService::RowService(const Identity& identity, const config::TrainSection& train,
                       std::string spill_directory)
    : identity_(identity), train_(train), spill_directory_(std::move(spill_directory)) {}

const rows::Table* RowService::table(std::uint64_t number) const {
  const auto it = tables_.find(number);
  return it == tables_.end() ? nullptr : &it->second.table;
}

std::optional<std::string> RowService::admit(const RowsHeader& header) const {
  if (header.job != identity_.job)
    return format("of job {}; this shard is of job {}", header.job, identity_.job);
  if (header.incarnation != identity_.incarnation) {
    return format("of incarnation {}; this shard is of incarnation {}", header.incarnation,
                  identity_.incarnation);
  }
  if (header.trainer >= identity_.trainers)
    return format("of rank {}; there are {} trainers", header.trainer, identity_.trainers);
  if (header.shard != identity_.shard)
    return format("for shard {}; this is shard {}", header.shard, identity_.shard);
  return std::nullopt;
}

std::vector<RowReply> RowService::on(RowArrival arrival) {
  Replies replies;
  if (auto reason = admit(arrival.header)) {
    replies.push_back(refusal(arrival, std::move(*reason)));
    return replies;
  }
  const RowsKind kind = arrival.header.kind;
  if (kind == RowsKind::create) {
    create(arrival, replies);
    return replies;
  }
  if (kind != RowsKind::pull && kind != RowsKind::push) return replies;  // a shard's own words
  const auto it = tables_.find(arrival.header.table);
  if (it == tables_.end()) {
    replies.push_back(refusal(arrival, format("nobody created table {}", arrival.header.table)));
  } else if (it->second.broken) {
    replies.push_back(refusal(arrival, *it->second.broken));
  } else if (kind == RowsKind::pull) {
    pull(it->second, arrival, replies);
  } else {
    push(it->second, std::move(arrival), replies);
  }
  return replies;
}

void RowService::create(const RowArrival& arrival, Replies& replies) {
  const std::uint64_t number = arrival.header.table;
  auto it = tables_.find(number);
  if (it == tables_.end()) {
    auto made = make(number, arrival.header.spec);
    if (!made) {
      replies.push_back(refusal(arrival, made.error().message));
      return;
    }
    it = tables_.emplace(number, std::move(*made)).first;
  } else if (it->second.spec != arrival.header.spec) {
    replies.push_back(refusal(arrival, format("table {} is there with other settings", number)));
    return;
  }
  const Known& known = it->second;
  replies.push_back(answer(arrival.peer, arrival.header, RowsKind::created));
  replies.back().header.sequence =
      known.spec.on_arrival ? known.windows[arrival.header.trainer].through() : known.step;
}

Result<RowService::Known> RowService::make(std::uint64_t number, const protocol::RowTable& spec) {
  if (tables_.size() >= tables_max)
    return Error{Errc::refused, format("a shard has {} tables at most", tables_max)};
  if (train_.clip.norm)
    return Error{Errc::invalid, "train.clip.norm would need the norm over all tables; use train.clip.value"};
  if (train_.ema) return Error{Errc::invalid, "train.ema is not kept for tables of rows"};
  auto table = rows::Table::make(settings_of(number, spec, train_.optimizer, spill_directory_),
                                 partition_of(spec, identity_), identity_.shard);
  if (!table) return table.error();
  Known known{.spec = spec,
              .table = std::move(*table),
              .pushes = {},
              .windows = std::vector<PushWindow>(identity_.trainers),
              .broken = std::nullopt};
  const auto files = files_.find(number);
  if (files == files_.end()) return known;
  std::optional<std::uint64_t> step;
  for (const std::string& file : files->second) {
    Front front{};
    if (file.size() >= sizeof(front)) std::memcpy(&front, file.data(), sizeof(front));
    const Front expected = front_of(front.step);
    if (std::memcmp(&front, &expected, sizeof(front)) != 0)
      return Error{Errc::corrupt, "saved rows: not what this program writes"};
    if (step && *step != front.step)
      return Error{Errc::corrupt, format("saved rows: of steps {} and {}", *step, front.step)};
    step = front.step;
    const Status loaded = known.table.load(std::string_view(file).substr(sizeof(front)));
    if (!loaded) return loaded.error();
  }
  known.step = step.value_or(0);
  files_.erase(files);
  return known;
}

Result<std::vector<std::uint64_t>> RowService::ids_of(const Known& known, const RowArrival& arrival,
                                                      std::uint64_t floats) const {
  const auto bytes = arrival.payload.bytes;
  if (bytes.size() > protocol::rows_bytes_max || floats * sizeof(float) > bytes.size()) {
    return Error{Errc::invalid, format("{} bytes for {} rows of {} floats", bytes.size(),
                                       arrival.header.count, known.spec.width)};
  }
  auto ids = rows::unpack_ids(bytes.subspan(floats * sizeof(float)), arrival.header.count);
  if (!ids) {
    return Error{Errc::invalid,
                 format("{}; a row of this table has {} floats", ids.error().message, known.spec.width)};
  }
  const rows::Partition partition = partition_of(known.spec, identity_);
  for (const std::uint64_t id : *ids) {
    const std::uint32_t owner = rows::owner_of(partition, id);
    if (owner != identity_.shard) return Error{Errc::invalid, format("row {} is shard {}'s", id, owner)};
  }
  return ids;
}

void RowService::pull(Known& known, const RowArrival& arrival, Replies& replies) const {
  const std::uint64_t floats = arrival.header.count * known.spec.width;
  if (floats * sizeof(float) > protocol::rows_bytes_max) {
    replies.push_back(
        refusal(arrival, format("a message carries {} at most; ask for fewer than {} rows at once",
                                size_text(protocol::rows_bytes_max), arrival.header.count)));
    return;
  }
  const auto ids = ids_of(known, arrival, 0);
  if (!ids) {
    replies.push_back(refusal(arrival, ids.error().message));
    return;
  }
  auto out = std::make_shared<std::vector<float>>(floats);
  if (const Status pulled = known.table.pull(*ids, *out); !pulled) {
    known.broken = pulled.error().message;
    replies.push_back(refusal(arrival, *known.broken));
    return;
  }
  replies.push_back(answer(arrival.peer, arrival.header, RowsKind::rows));
  replies.back().rows = std::move(out);
}

void RowService::push(Known& known, RowArrival arrival, Replies& replies) const {
  const RowsHeader header = arrival.header;
  if (header.sequence == 0 || (header.samples == 0 && header.count > 0)) {
    replies.push_back(
        refusal(arrival, header.sequence == 0 ? "a push has a number from 1 on" : "rows of no sample"));
    return;
  }
  auto ids = ids_of(known, arrival, header.count * known.spec.width);
  if (!ids) {
    replies.push_back(refusal(arrival, ids.error().message));
    return;
  }
  Held held{std::move(arrival.peer), header.samples, std::move(*ids), std::move(arrival.payload)};
  if (known.spec.on_arrival) {
    push_on_arrival(known, header, held, replies);
  } else {
    push_in_step(known, header, std::move(held), replies);
  }
}

void RowService::push_in_step(Known& known, const RowsHeader& header, Held held, Replies& replies) const {
  if (header.sequence <= known.step) {
    replies.push_back(answer(held.peer, header, RowsKind::applied));
    return;
  }
  if (header.sequence > known.step + 1) {
    replies.push_back(refusal({held.peer, header, {}},
                              format("step {} is pushed, step {} is due", header.sequence, known.step + 1)));
    return;
  }
  known.pushes.insert_or_assign(header.trainer,
                                std::move(held));  // a double takes the place of the first one
  if (known.pushes.size() < identity_.trainers) return;
  std::vector<const Held*> pushes;  // in rank order, as the map has them
  for (const auto& [rank, push] : known.pushes) pushes.push_back(&push);
  const Status applied = apply(known, pushes, known.step + 1);
  if (applied) ++known.step;
  for (const auto& [rank, push] : known.pushes) {
    RowsHeader asked = header;
    asked.trainer = rank;
    replies.push_back(applied ? answer(push.peer, asked, RowsKind::applied)
                              : refusal({push.peer, asked, {}}, *known.broken));
  }
  known.pushes.clear();
}

void RowService::push_on_arrival(Known& known, const RowsHeader& header, const Held& held,
                                 Replies& replies) const {
  PushWindow& window = known.windows[header.trainer];
  switch (window.look(header.sequence)) {
    case PushWindow::Verdict::far:
      replies.push_back(refusal({held.peer, header, {}},
                                format("push {} came, push {} is missing; at most {} may be under way",
                                       header.sequence, window.through() + 1, PushWindow::ahead_max)));
      return;
    case PushWindow::Verdict::fresh: {
      const Held* const one = &held;
      // As many pushes as there are trainers are one step of the schedule.
      if (!apply(known, {&one, 1}, known.table.clock() / identity_.trainers + 1)) {
        replies.push_back(refusal({held.peer, header, {}}, *known.broken));
        return;
      }
      window.take(header.sequence);
      break;
    }
    case PushWindow::Verdict::known:
      break;
  }
  replies.push_back(answer(held.peer, header, RowsKind::applied));
}

Status RowService::apply(Known& known, std::span<const Held* const> pushes, std::uint64_t step) const {
  std::uint64_t samples = 0;
  std::vector<rows::Part> parts;
  for (const Held* const push : pushes) {
    if (push->samples == 0) continue;
    samples += push->samples;
    parts.push_back({push->ids, push->payload.floats().first(push->ids.size() * known.spec.width)});
  }
  if (samples == 0) return {};
  rows::Update update{
      .rate = optim::learning_rate(train_.schedule, train_.optimizer.learning_rate, step,
                                   known.spec.steps_per_epoch, known.spec.steps_per_epoch * train_.epochs),
      .scale = static_cast<float>(1.0 / static_cast<double>(samples)),
      .bound = std::nullopt};
  if (train_.clip.value) update.bound = static_cast<float>(*train_.clip.value);
  Status applied = known.table.push(parts, update);
  if (!applied) known.broken = applied.error().message;
  return applied;
}

Status RowService::save(std::uint64_t number, const rows::Table::Write& write) const {
  const auto it = tables_.find(number);
  if (it == tables_.end()) return Error{Errc::not_found, format("nobody created table {}", number)};
  const Front front = front_of(it->second.step);
  const auto bytes = std::as_bytes(std::span(&front, 1));
  if (Status written = write({bytes.begin(), bytes.end()}); !written) return written;
  return it->second.table.save(write);
}

RowReply RowService::answer(const std::string& peer, const RowsHeader& asked, RowsKind kind) const {
  return {peer,
          {.kind = kind,
           .job = identity_.job,
           .incarnation = identity_.incarnation,
           .trainer = asked.trainer,
           .shard = identity_.shard,
           .table = asked.table,
           .sequence = asked.sequence,
           .count = asked.count},
          nullptr};
}

RowReply RowService::refusal(const RowArrival& arrival, std::string reason) const {
  RowReply reply = answer(arrival.peer, arrival.header, RowsKind::refused);
  reply.header.reason = std::move(reason);
  return reply;
}

}  // namespace trainyard::ps
