#include "daemons/trainer/exchange.hpp"

#include <algorithm>
#include <utility>

#include "common/base/log.hpp"
#include "common/base/text.hpp"

namespace trainyard::trainer {

using protocol::DataHeader;
using protocol::DataKind;

namespace {

constexpr Duration poll_patience = 100ms;  // how soon `cancelled` is seen

Time now() { return std::chrono::steady_clock::now(); }

void scatter(std::span<const protocol::SliceInfo> slices, std::span<const float> from,
             std::span<float> flat) {
  std::size_t at = 0;
  for (const protocol::SliceInfo& slice : slices) {
    std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(at), slice.length,
                flat.begin() + static_cast<std::ptrdiff_t>(slice.offset));
    at += slice.length;
  }
}

}  // namespace

Error cancelled_error() { return {Errc::unavailable, "stopped by a signal"}; }

ShardExchange::ShardExchange(Settings settings, const std::atomic<bool>& cancelled)
    : settings_(std::move(settings)), cancelled_(cancelled) {}

Result<std::unique_ptr<ShardExchange>> ShardExchange::connect(Settings settings,
                                                              const std::atomic<bool>& cancelled) {
  check(!settings.shards.empty(), "an exchange over shards needs shards");
  std::unique_ptr<ShardExchange> exchange(new ShardExchange(std::move(settings), cancelled));
  for (const std::string& endpoint : exchange->settings_.shards) {
    auto client = net::DataClient::connect(endpoint);
    if (!client) return client.error().with(format("shard at {}", endpoint));
    exchange->shards_.push_back({endpoint, std::move(*client), {}, 0});
  }
  const auto slices =
      optim::slice_over(exchange->settings_.tensors, static_cast<std::uint32_t>(exchange->shards_.size()),
                        exchange->settings_.slice_floats_max);
  for (const optim::Slice& slice : slices) {
    Shard& shard = exchange->shards_[slice.shard];
    shard.slices.push_back({slice.offset, slice.length, static_cast<protocol::SliceKind>(slice.kind)});
    shard.floats += slice.length;
  }
  return exchange;
}

DataHeader ShardExchange::header(DataKind kind, std::uint32_t shard) const {
  return {.kind = kind,
          .job = settings_.job,
          .incarnation = settings_.incarnation,
          .trainer = settings_.rank,
          .shard = shard};
}

net::SharedFloats ShardExchange::gather(const Shard& shard, std::span<const float> flat) const {
  auto floats = std::make_shared<std::vector<float>>();
  floats->reserve(shard.floats);
  for (const protocol::SliceInfo& slice : shard.slices) {
    const auto part = flat.subspan(slice.offset, slice.length);
    floats->insert(floats->end(), part.begin(), part.end());
  }
  return floats;
}

Result<std::uint64_t> ShardExchange::begin(std::span<float> values) {
  std::vector<std::vector<Outgoing>> sent(shards_.size());
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    if (settings_.rank == 0) {
      DataHeader init = header(DataKind::init, i);
      init.slices = shards_[i].slices;
      init.steps_per_epoch = settings_.steps_per_epoch;
      sent[i].push_back({std::move(init), gather(shards_[i], values)});
    }
    sent[i].push_back({header(DataKind::pull, i), nullptr});
    for (const Outgoing& message : sent[i]) {
      shards_[i].client->send(protocol::encode(message.header), message.payload);
    }
  }
  std::optional<std::uint64_t> step;
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    const auto answer = await_values(i, sent[i], std::nullopt, values);
    if (!answer) return answer.error();
    if (step && *step != answer->sequence) {
      return Error{Errc::corrupt, format("shard ps-{} is at step {}, the ones before it at step {}", i,
                                         answer->sequence, *step)};
    }
    step = answer->sequence;
  }
  return *step;
}

Result<bool> ShardExchange::step(const Push& push, std::span<float> values) {
  std::vector<std::vector<Outgoing>> sent(shards_.size());
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    DataHeader push_header = header(DataKind::push, i);
    push_header.sequence = push.step;
    push_header.samples = push.samples;
    push_header.checkpoint = push.marks.checkpoint;
    push_header.last = push.marks.last;
    sent[i].push_back(
        {std::move(push_header), push.samples == 0 ? nullptr : gather(shards_[i], push.gradients)});
    shards_[i].client->send(protocol::encode(sent[i][0].header), sent[i][0].payload);
  }
  bool last = false;
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    const auto answer = await_values(i, sent[i], push.step, values);
    if (!answer) return answer.error();
    last = last || answer->last;
  }
  return last;
}

Result<DataHeader> ShardExchange::await_values(std::uint32_t index, const std::vector<Outgoing>& sent,
                                               std::optional<std::uint64_t> step, std::span<float> values) {
  Shard& shard = shards_[index];
  Time retry_at = now() + settings_.retry;
  while (!cancelled_) {
    auto message = shard.client->receive(std::min<Duration>(poll_patience, settings_.retry));
    if (!message) {
      if (now() < retry_at) continue;
      // The shard applies a step once, however often it hears of it.
      log::debug("shard ps-{} at {} is silent, sending again", index, shard.endpoint);
      for (const Outgoing& again : sent) shard.client->send(protocol::encode(again.header), again.payload);
      retry_at = now() + settings_.retry;
      continue;
    }
    auto answer = protocol::decode_data_header(message->header);
    if (!answer) return answer.error().with(format("shard ps-{} at {}", index, shard.endpoint));
    if (answer->incarnation != settings_.incarnation) continue;
    if (answer->kind == DataKind::refused) {
      return Error{Errc::refused, format("shard ps-{} at {}: {}", index, shard.endpoint, answer->reason)};
    }
    // An answer to what was sent twice may come twice; the step tells.
    if (answer->kind != DataKind::values || (step && answer->sequence != *step)) continue;
    const auto floats = message->payload.floats();
    if (floats.size() != shard.floats) {
      return Error{Errc::corrupt, format("shard ps-{} at {} sent {} values instead of {}", index,
                                         shard.endpoint, floats.size(), shard.floats)};
    }
    scatter(shard.slices, floats, values);
    return std::move(*answer);
  }
  return cancelled_error();
}

LocalExchange::LocalExchange(const config::TrainSection& train, std::vector<optim::TensorSize> tensors,
                             std::uint64_t steps_per_epoch)
    : train_(train), slices_(optim::slice_over(tensors, 1)), steps_per_epoch_(steps_per_epoch) {}

Status LocalExchange::restore(std::string_view bytes) {
  auto table = optim::Table::load(train_, bytes);
  if (!table) return table.error();
  if (table->slices() != slices_ || table->steps_per_epoch() != steps_per_epoch_) {
    return Error{Errc::corrupt, "the checkpoint is of another model, batch size or data set than the job"};
  }
  table_ = std::move(*table);
  return {};
}

Result<std::uint64_t> LocalExchange::begin(std::span<float> values) {
  if (!table_) {
    auto table = optim::Table::make(train_, slices_, steps_per_epoch_, {values.begin(), values.end()});
    if (!table) return table.error();
    table_ = std::move(*table);
  }
  std::copy(table_->values()->begin(), table_->values()->end(), values.begin());
  return table_->step();
}

Result<bool> LocalExchange::step(const Push& push, std::span<float> values) {
  check(push.step == table_->step() + 1, "steps come one after the other");
  const optim::Contribution own{push.samples, push.gradients};
  table_->apply(std::span(&own, 1));
  std::copy(table_->values()->begin(), table_->values()->end(), values.begin());
  return push.marks.last;
}

std::optional<optim::Table::Saved> LocalExchange::own_state() const {
  return table_ ? std::optional(table_->save()) : std::nullopt;
}

}  // namespace trainyard::trainer
