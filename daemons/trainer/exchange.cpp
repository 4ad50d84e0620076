#include "daemons/trainer/exchange.hpp"

#include <algorithm>
#include <array>
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
constexpr Duration move_patience = 20ms;   // how soon a move is seen, of shards that may move

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

net::Room ShardExchange::gather(const Shard& shard, std::span<const float> flat) const {
  net::Room room = shard.client->reserve(shard.floats * sizeof(float));
  gather_into(shard.slices, flat, room.floats());
  return room;
}

net::SharedBytes ShardExchange::coded(Shard& shard, std::span<const float> gradients) const {
  const net::Room room = gather(shard, gradients);
  if (settings_.strategy.compression == config::Compression::none) return room;
  if (codec::has_residual(settings_.strategy.compression)) shard.residual.resize(shard.floats);
  std::vector<codec::Part> parts;
  for (const protocol::SliceInfo& slice : shard.slices)
    parts.push_back({slice.length, slice.kind == protocol::SliceKind::buffer});
  return std::make_shared<const std::vector<std::byte>>(
      codec::encode(settings_.strategy.compression, parts, room.floats(), shard.residual));
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
      // Where each push is a step of its own, an epoch has as many steps as pushes.
      init.steps_per_epoch = settings_.steps_per_epoch * (together() ? 1 : settings_.trainers);
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
  return step_ = pushed_ = *step;
}

Status ShardExchange::pull(std::span<float> values) {
  Sent sent(shards_.size());
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    sent[i].push_back({header(DataKind::pull, i), nullptr});
    send(i, sent[i]);
  }
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    const auto answer = await_values(
        i, sent[i], [&](const DataHeader& got) { return !got.averages && got.sequence >= step_; }, values);
    if (!answer) return answer.error();
  }
  return {};
}

Result<Stepped> ShardExchange::step(const Push& push, std::span<float> values) {
  Sent sent(shards_.size());
  // A shard hears of whole slices: rows go with zeros around them.
  std::span<const float> gradients = push.gradients;
  if (push.samples > 0 && !push.rows.empty()) {
    filled_.assign(gradients.begin(), gradients.end());
    for (const tensor::RowGradient& part : push.rows) optim::add_rows(part, filled_.data() + part.offset);
    gradients = filled_;
  }
  const double own_norm = !together() && settings_.train.clip.norm ? norm_of(push, gradients) : 0;
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    DataHeader push_header = header(DataKind::push, i);
    push_header.sequence = push.step;
    push_header.samples = push.samples;
    if (push.marks.checkpoint) push_header.checkpoint = push.checkpoint > 0 ? push.checkpoint : push.step;
    push_header.ending = push.marks.ending;
    push_header.coding = settings_.strategy.compression;
    push_header.norm = own_norm;
    push_header.cut = cut_;
    net::SharedBytes payload;
    if (push.samples > 0) payload = coded(shards_[i], gradients);
    sent[i].push_back({std::move(push_header), std::move(payload)});
    send(i, sent[i]);
  }
  if (together() && settings_.train.clip.norm && settings_.rank == 0 && shards_.size() > 1) {
    if (const Status shared = share_norm(push.step, sent); !shared) return shared.error();
  }
  pushed_ = push.step;
  // Rank 0 marks a checkpoint with its push.
  if (push.marks.checkpoint && !together()) {
    cut_ = push.checkpoint > 0 ? push.checkpoint : push.step;
    cut_at_ = push.step;
  }
  Stepped out{.step = ~std::uint64_t{0}};
  std::uint64_t cut = 0;
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    // An answer to what was sent twice may come twice; the step tells. A step may be over without this push.
    const auto answer = await_values(
        i, sent[i], [&](const DataHeader& got) { return !got.averages && got.sequence >= push.step; },
        values);
    if (!answer) return answer.error();
    out.ending = std::max(out.ending, answer->ending);
    out.step = std::min(out.step, answer->sequence);
    out.staleness = std::max(out.staleness, answer->staleness);
    cut = std::max(cut, answer->cut);
  }
  step_ = out.step;
  mark(cut);
  return out;
}

double ShardExchange::norm_of(const Push& push, std::span<const float> gradients) const {
  if (push.samples == 0) return 0;
  const auto scale = static_cast<float>(1.0 / static_cast<double>(push.samples));
  std::vector<std::vector<double>> squares(shards_.size());
  for (std::size_t i = 0; i < shards_.size(); ++i)
    for (const protocol::SliceInfo& slice : shards_[i].slices) {
      const std::array part{gradients.subspan(slice.offset, slice.length)};
      squares[i].push_back(slice.kind == protocol::SliceKind::buffer
                               ? 0.0
                               : optim::square_sum({part, scale, std::nullopt, std::nullopt}, slice.length));
    }
  return norm_of_slices(squares);
}

void ShardExchange::mark(std::uint64_t cut) {
  if (cut <= cut_) return;
  cut_ = cut;
  cut_at_ = pushed_;
  for (std::uint32_t i = 0; i < shards_.size(); ++i) tell_mark(i);
}

void ShardExchange::tell_mark(std::uint32_t shard) {
  DataHeader mark = header(DataKind::mark, shard);
  mark.sequence = cut_at_;
  mark.cut = cut_;
  send(shard, {{std::move(mark), nullptr}});
}

Status ShardExchange::leave(const Marks& marks, std::uint64_t checkpoint, std::span<float> values) {
  if (together()) return {};
  Sent sent(shards_.size());
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    DataHeader last = header(DataKind::leave, i);
    last.sequence = step_;
    last.checkpoint = checkpoint;
    last.ending = marks.ending;
    last.cut = cut_;
    sent[i].push_back({std::move(last), nullptr});
    send(i, sent[i]);
  }
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    const auto answer = await_values(
        i, sent[i], [](const DataHeader& got) { return got.last; }, values);
    if (!answer) return answer.error();
  }
  return {};
}

double ShardExchange::norm_of_slices(const std::vector<std::vector<double>>& squares) const {
  // In the order of the slices, so that the number of shards changes no bit.
  std::vector<double> all;
  std::vector<std::size_t> taken(shards_.size(), 0);
  for (const std::uint32_t owner : owners_) all.push_back(squares[owner][taken[owner]++]);
  return optim::norm_of(all);
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
  const double shared = norm_of_slices(squares);
  for (std::uint32_t i = 0; i < shards_.size(); ++i) {
    DataHeader norm = header(DataKind::norm, i);
    norm.sequence = step;
    norm.norm = shared;
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

Status ShardExchange::follow_moves() {
  if (settings_.addresses == nullptr || settings_.addresses->epoch() == epoch_) return {};
  const auto [epoch, endpoints] = settings_.addresses->get();
  epoch_ = epoch;
  for (std::size_t i = 0; i < shards_.size() && i < endpoints.size(); ++i) {
    Shard& shard = shards_[i];
    if (endpoints[i] == shard.endpoint || endpoints[i].empty()) continue;
    auto client = net::DataClient::connect(endpoints[i]);
    if (!client) return client.error().with(format("shard ps-{} at {}", i, endpoints[i]));
    log::info("shard ps-{} is at {} now", i, endpoints[i]);
    shard.client = std::move(*client);
    shard.endpoint = endpoints[i];
    shard.moved = true;
  }
  return {};
}

Result<ShardExchange::Answer> ShardExchange::await(std::uint32_t index, const std::vector<Outgoing>& sent,
                                                   const Wanted& wanted) {
  Shard& shard = shards_[index];
  Time retry_at = now() + settings_.retry;
  while (!cancelled_) {
    if (const Status followed = follow_moves(); !followed) return followed.error();
    if (std::exchange(shard.moved, false)) {
      send(index, sent);
      retry_at = now() + settings_.retry;
    }
    auto message = shard.client->receive(
        std::min<Duration>(settings_.addresses != nullptr ? move_patience : poll_patience, settings_.retry));
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
    if (answer->incarnation != settings_.incarnation || answer->trainer != settings_.rank) continue;
    if (answer->kind == DataKind::refused) {
      return Error{Errc::refused, format("shard ps-{} at {}: {}", index, shard.endpoint, answer->reason)};
    }
    if (answer->kind == DataKind::cut) {
      if (answer->cut == cut_)
        tell_mark(index);  // it was lost
      else
        mark(answer->cut);
      continue;
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
