#include "daemons/trainer/exchange.hpp"

#include <algorithm>
#include <utility>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/codec/codec.hpp"
#include "daemons/trainer/flat.hpp"

namespace trainyard::trainer {

using protocol::DataHeader;
using protocol::DataKind;

namespace {

constexpr Duration poll_patience = 100ms;  // how soon `cancelled` is seen

Time now() { return std::chrono::steady_clock::now(); }

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
    exchange->shards_.push_back({endpoint, std::move(*client), {}, 0, {}});
  }
  if (const Status shared = exchange->share_out(); !shared) return shared.error();
  return exchange;
}

Status ShardExchange::share_out() {
  const bool whole = optim::needs_whole_tensors(settings_.train.optimizer.kind);
  const auto slices = optim::slice_over(settings_.tensors, static_cast<std::uint32_t>(shards_.size()),
                                        whole ? optim::slice_floats_whole : settings_.slice_floats_max);
  for (const optim::Slice& slice : slices) {
    Shard& shard = shards_[slice.shard];
    shard.slices.push_back(
        {slice.offset, slice.length, static_cast<protocol::SliceKind>(slice.kind), slice.rate, slice.decay});
    shard.floats += slice.length;
    owners_.push_back(slice.shard);
  }
  for (std::size_t i = 0; i < shards_.size(); ++i) {
    const std::uint64_t bytes = shards_[i].floats * sizeof(float);
    if (bytes <= net::data_message_bytes_max) continue;
    return Error{
        Errc::invalid,
        format("cluster.parameter_servers: shard ps-{} would own {} of values, a message carries {}; "
               "use more shards{}",
               i, size_text(bytes), size_text(net::data_message_bytes_max),
               whole ? ", or an optimizer that may cut tensors (not lars, lamb)" : "")};
  }
  return {};
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
  trainer::gather(shard.slices, flat, *floats);
  return floats;
}

net::SharedBytes ShardExchange::coded(Shard& shard, std::span<const float> gradients) const {
  net::SharedFloats floats = gather(shard, gradients);
  if (settings_.compression == config::Compression::none) return floats;
  if (codec::has_residual(settings_.compression)) shard.residual.resize(shard.floats);
  std::vector<codec::Part> parts;
  for (const protocol::SliceInfo& slice : shard.slices)
    parts.push_back({slice.length, slice.kind == protocol::SliceKind::buffer});
  return std::make_shared<const std::vector<std::byte>>(
      codec::encode(settings_.compression, parts, *floats, shard.residual));
}

void ShardExchange::send(std::uint32_t shard, const std::vector<Outgoing>& messages) {
  for (const Outgoing& message : messages)
    shards_[shard].client->send(protocol::encode(message.header), message.payload);
}

Result<std::uint64_t> ShardExchange::begin(std::span<float> values) {
  Sent sent(shards_.size());
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    if (settings_.rank == 0) {
      DataHeader init = header(DataKind::init, i);
      init.slices = shards_[i].slices;
      init.steps_per_epoch = settings_.steps_per_epoch;
      sent[i].push_back({std::move(init), gather(shards_[i], values)});
    }
    sent[i].push_back({header(DataKind::pull, i), nullptr});
    send(i, sent[i]);
  }
  std::optional<std::uint64_t> step;
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    const auto answer = await_values(
        i, sent[i], [](const DataHeader& got) { return !got.averages; }, values);
    if (!answer) return answer.error();
    if (step && *step != answer->sequence) {
      return Error{Errc::corrupt, format("shard ps-{} is at step {}, the ones before it at step {}", i,
                                         answer->sequence, *step)};
    }
    step = answer->sequence;
  }
  return step_ = *step;
}

Result<protocol::Ending> ShardExchange::step(const Push& push, std::span<float> values) {
  Sent sent(shards_.size());
  // A shard hears of whole slices: rows go with zeros around them.
  std::span<const float> gradients = push.gradients;
  if (push.samples > 0 && !push.rows.empty()) {
    filled_.assign(gradients.begin(), gradients.end());
    for (const tensor::RowGradient& part : push.rows) optim::add_rows(part, filled_.data() + part.offset);
    gradients = filled_;
  }
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    DataHeader push_header = header(DataKind::push, i);
    push_header.sequence = push.step;
    push_header.samples = push.samples;
    push_header.checkpoint = push.marks.checkpoint;
    push_header.ending = push.marks.ending;
    push_header.coding = settings_.compression;
    net::SharedBytes payload;
    if (push.samples > 0) payload = coded(shards_[i], gradients);
    sent[i].push_back({std::move(push_header), std::move(payload)});
    send(i, sent[i]);
  }
  if (settings_.train.clip.norm && settings_.rank == 0 && shards_.size() > 1) {
    if (const Status shared = share_norm(push.step, sent); !shared) return shared.error();
  }
  auto ending = protocol::Ending::none;
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    // An answer to what was sent twice may come twice; the step tells.
    const auto answer = await_values(
        i, sent[i], [&](const DataHeader& got) { return !got.averages && got.sequence == push.step; },
        values);
    if (!answer) return answer.error();
    ending = std::max(ending, answer->ending);
  }
  step_ = push.step;
  return ending;
}

Status ShardExchange::share_norm(std::uint64_t step, Sent& sent) {
  std::vector<std::vector<double>> squares;
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    auto answer = await(i, sent[i], [&](const DataHeader& got) {
      return got.kind == DataKind::squares && got.sequence == step;
    });
    if (!answer) return answer.error();
    if (answer->header.square_sums.size() != shards_[i].slices.size()) {
      return Error{Errc::corrupt,
                   format("shard ps-{} at {} knows {} slices instead of {}", i, shards_[i].endpoint,
                          answer->header.square_sums.size(), shards_[i].slices.size())};
    }
    squares.push_back(std::move(answer->header.square_sums));
  }
  // In the order of the slices, so that the number of shards changes no bit.
  std::vector<double> all;
  std::vector<std::size_t> taken(shards_.size(), 0);
  for (const std::uint32_t owner : owners_) all.push_back(squares[owner][taken[owner]++]);
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    DataHeader norm = header(DataKind::norm, i);
    norm.sequence = step;
    norm.norm = optim::norm_of(all);
    sent[i] = {{std::move(norm), nullptr}};
    send(i, sent[i]);
  }
  return {};
}

Status ShardExchange::averages(std::span<float> values) {
  Sent sent(shards_.size());
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    DataHeader pull = header(DataKind::pull, i);
    pull.averages = true;
    sent[i].push_back({std::move(pull), nullptr});
    send(i, sent[i]);
  }
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    const auto answer = await_values(
        i, sent[i], [&](const DataHeader& got) { return got.averages && got.sequence == step_; }, values);
    if (!answer) return answer.error();
  }
  return {};
}

Result<ShardExchange::Answer> ShardExchange::await(std::uint32_t index, const std::vector<Outgoing>& sent,
                                                   const Wanted& wanted) {
  Shard& shard = shards_[index];
  Time retry_at = now() + settings_.retry;
  while (!cancelled_) {
    auto message = shard.client->receive(std::min<Duration>(poll_patience, settings_.retry));
    if (!message) {
      if (now() < retry_at) continue;
      // The shard applies a step once, however often it hears of it.
      log::debug("shard ps-{} at {} is silent, sending again", index, shard.endpoint);
      send(index, sent);
      retry_at = now() + settings_.retry;
      continue;
    }
    auto answer = protocol::decode_data_header(message->header);
    if (!answer) return answer.error().with(format("shard ps-{} at {}", index, shard.endpoint));
    if (answer->incarnation != settings_.incarnation) continue;
    if (answer->kind == DataKind::refused) {
      return Error{Errc::refused, format("shard ps-{} at {}: {}", index, shard.endpoint, answer->reason)};
    }
    if (wanted(*answer)) return Answer{std::move(*answer), std::move(message->payload)};
  }
  return cancelled_error();
}

Result<DataHeader> ShardExchange::await_values(std::uint32_t index, const std::vector<Outgoing>& sent,
                                               const Wanted& wanted, std::span<float> values) {
  auto answer =
      await(index, sent, [&](const DataHeader& got) { return got.kind == DataKind::values && wanted(got); });
  if (!answer) return answer.error();
  const Shard& shard = shards_[index];
  const auto floats = answer->payload.floats();
  if (floats.size() != shard.floats) {
    return Error{Errc::corrupt, format("shard ps-{} at {} sent {} values instead of {}", index,
                                       shard.endpoint, floats.size(), shard.floats)};
  }
  scatter(shard.slices, floats, values);
  return std::move(answer->header);
}

}  // namespace trainyard::trainer
