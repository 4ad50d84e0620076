#include "daemons/trainer/row_client.hpp"

#include <algorithm>
#include <utility>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/rows/ids.hpp"

namespace trainyard::trainer {

using protocol::RowsHeader;
using protocol::RowsKind;

namespace {

constexpr Duration poll_patience = 100ms;  // how soon `cancelled` is seen
/// Of what a pull brings: so that a large batch comes in several messages, none of which is above the limit.
constexpr std::uint64_t pull_bytes = std::uint64_t{32} << 20;

Time now() { return std::chrono::steady_clock::now(); }

net::SharedBytes shared(std::vector<std::byte> bytes) {
  return std::make_shared<const std::vector<std::byte>>(std::move(bytes));
}

}  // namespace

RowClient::RowClient(Settings settings, const std::atomic<bool>& cancelled)
    : settings_(std::move(settings)), cancelled_(cancelled) {}

Result<std::unique_ptr<RowClient>> RowClient::connect(Settings settings, const std::atomic<bool>& cancelled) {
  check(!settings.shards.empty(), "rows are on shards");
  std::unique_ptr<RowClient> made(new RowClient(std::move(settings), cancelled));
  for (const std::string& endpoint : made->settings_.shards) {
    auto client = net::DataClient::connect(endpoint);
    if (!client) return client.error().with(format("shard at {}", endpoint));
    made->clients_.push_back(std::move(*client));
  }
  return made;
}

rows::Partition RowClient::partition(const Known& known) const {
  return {static_cast<rows::Spread>(known.spec.spread), static_cast<std::uint32_t>(clients_.size()),
          known.spec.ids};
}

RowsHeader RowClient::header(RowsKind kind, std::uint64_t table) const {
  return {.kind = kind,
          .job = settings_.job,
          .incarnation = settings_.incarnation,
          .trainer = settings_.rank,
          .table = table};
}

Result<RowClient::Known*> RowClient::known(std::uint64_t table, std::size_t ids, std::size_t floats) {
  const auto it = tables_.find(table);
  if (it == tables_.end()) return Error{Errc::invalid, format("table {} was not created", table)};
  if (floats == ids * it->second.spec.width) return &it->second;
  return Error{Errc::invalid, format("{} ids of table {}, whose rows have {} floats, go with {}", ids, table,
                                     it->second.spec.width, floats)};
}

Result<std::uint64_t> RowClient::create(std::uint64_t table, const protocol::RowTable& spec) {
  std::vector<Outgoing> sent;
  for (std::uint32_t shard = 0; shard < clients_.size(); ++shard) {
    sent.push_back({shard, header(RowsKind::create, table), nullptr});
    sent.back().header.shard = shard;
    sent.back().header.spec = spec;
  }
  Known made{spec, {}};
  const Status asked = ask(sent, RowsKind::created, [&](const RowsHeader& answer, const net::Payload&) {
    made.pushes.push_back(answer.sequence);
    return Status{};
  });
  if (!asked) return asked.error();
  const std::uint64_t step = made.pushes[0];
  for (std::uint32_t shard = 1; !spec.on_arrival && shard < clients_.size(); ++shard) {
    if (made.pushes[shard] == step) continue;
    return Error{Errc::corrupt, format("table {}: shard ps-{} is at step {}, shard ps-0 at step {}", table,
                                       shard, made.pushes[shard], step)};
  }
  tables_[table] = std::move(made);
  return spec.on_arrival ? 0 : step;
}

Status RowClient::pull(std::uint64_t table, std::span<const std::uint64_t> ids, std::span<float> out) {
  const auto found = known(table, ids.size(), out.size());
  if (!found) return found.error();
  const std::size_t width = (*found)->spec.width;
  const std::size_t most = std::max<std::size_t>(1, pull_bytes / (width * sizeof(float)));
  for (std::size_t begin = 0; begin < ids.size(); begin += most) {
    const std::size_t count = std::min(most, ids.size() - begin);
    const RowBatch batch(ids.subspan(begin, count), partition(**found));
    const std::span<float> to = out.subspan(begin * width, count * width);
    std::vector<Outgoing> sent;
    for (std::uint32_t shard = 0; shard < clients_.size(); ++shard) {
      if (batch.ids(shard).empty()) continue;
      std::vector<std::byte> bytes;
      rows::pack_ids(batch.ids(shard), bytes);
      sent.push_back({shard, header(RowsKind::pull, table), shared(std::move(bytes))});
      sent.back().header.shard = shard;
      sent.back().header.sequence = ++pulls_;
      sent.back().header.count = batch.ids(shard).size();
    }
    const Status asked =
        ask(sent, RowsKind::rows, [&](const RowsHeader& answer, const net::Payload& payload) {
          const auto rows = payload.floats();
          if (rows.size() != batch.ids(answer.shard).size() * width) {
            return Status(Error{
                Errc::corrupt, format("{} floats for {} rows", rows.size(), batch.ids(answer.shard).size())});
          }
          batch.spread(answer.shard, rows, width, to);
          return Status{};
        });
    if (!asked) return asked;
  }
  return {};
}

Status RowClient::push(std::uint64_t table, std::uint64_t step, std::uint32_t samples,
                       std::span<const std::uint64_t> ids, std::span<const float> rows) {
  const auto found = known(table, ids.size(), rows.size());
  if (!found) return found.error();
  Known& own = **found;
  const std::size_t width = own.spec.width;
  const RowBatch batch(ids, partition(own));
  std::vector<Outgoing> sent;
  for (std::uint32_t shard = 0; shard < clients_.size(); ++shard) {
    const auto shard_ids = batch.ids(shard);
    if (own.spec.on_arrival && shard_ids.empty()) continue;
    const std::size_t row_bytes = shard_ids.size() * width * sizeof(float);
    std::vector<std::byte> bytes(row_bytes);
    batch.sum(shard, rows, width, {reinterpret_cast<float*>(bytes.data()), shard_ids.size() * width});
    rows::pack_ids(shard_ids, bytes);
    if (bytes.size() > protocol::rows_bytes_max) {
      return Error{
          Errc::invalid,
          format("a push of {} rows to shard ps-{} is {}, a message carries {}; use smaller batches or "
                 "more shards",
                 shard_ids.size(), shard, size_text(bytes.size()), size_text(protocol::rows_bytes_max))};
    }
    sent.push_back({shard, header(RowsKind::push, table), shared(std::move(bytes))});
    RowsHeader& out = sent.back().header;
    out.shard = shard;
    out.sequence = own.spec.on_arrival ? ++own.pushes[shard] : step;
    out.samples = samples;
    out.count = shard_ids.size();
  }
  return ask(sent, RowsKind::applied, [](const RowsHeader&, const net::Payload&) { return Status{}; });
}

void RowClient::send(const Outgoing& outgoing) {
  bytes_sent_ += outgoing.payload.view.size();
  clients_[outgoing.shard]->send(protocol::encode(outgoing.header), outgoing.payload);
}

Status RowClient::ask(const std::vector<Outgoing>& sent, RowsKind wanted, const Use& use) {
  for (const Outgoing& outgoing : sent) send(outgoing);
  for (const Outgoing& outgoing : sent)
    if (Status answered = await(outgoing, wanted, use); !answered) return answered;
  return {};
}

Status RowClient::await(const Outgoing& sent, RowsKind wanted, const Use& use) {
  const std::string shard = format("shard ps-{} at {}", sent.shard, settings_.shards[sent.shard]);
  Time retry_at = now() + settings_.retry;
  while (!cancelled_) {
    const auto message = clients_[sent.shard]->receive(std::min<Duration>(poll_patience, settings_.retry));
    if (!message) {
      if (now() < retry_at) continue;
      log::debug("{} is silent, sending again", shard);
      send(sent);
      retry_at = now() + settings_.retry;
      continue;
    }
    const auto answer = protocol::decode_rows_header(message->header);
    if (!answer) return answer.error().with(shard);
    // Answers to what was sent twice may come twice, and late.
    if (answer->incarnation != settings_.incarnation || answer->table != sent.header.table) continue;
    if (wanted != RowsKind::created && answer->sequence != sent.header.sequence) continue;
    if (answer->kind == RowsKind::refused)
      return Error{Errc::refused, format("{}: {}", shard, answer->reason)};
    if (answer->kind != wanted) continue;
    bytes_received_ += message->payload.bytes().size();
    if (Status used = use(*answer, message->payload); !used) return used.error().with(shard);
    return {};
  }
  return Error{Errc::unavailable, "stopped by a signal"};
}

}  // namespace trainyard::trainer
