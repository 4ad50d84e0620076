// A shard and its follower: what the shard sends on, and how the follower takes it.
#include <utility>

#include "common/base/log.hpp"
#include "daemons/ps/data_plane.hpp"

namespace trainyard::ps {

using protocol::DataHeader;
using protocol::DataKind;

namespace {

constexpr Duration poll_patience = 20ms;
constexpr Duration silence_max = 500ms;

Time now() { return std::chrono::steady_clock::now(); }

bool of_this_life(const DataHeader& header, const Identity& identity) {
  return header.job == identity.job && header.incarnation == identity.incarnation &&
         header.shard == identity.shard;
}

}  // namespace

// ---- the shard

void DataPlane::send_entry(const Entry& entry) {
  net::SharedBytes bytes;
  bytes.view = entry.payload->bytes();
  bytes.owner = entry.payload;
  server_->send(follower_, protocol::encode(entry.header), bytes);
}

void DataPlane::let_go(std::uint64_t until) {
  while (!log_.empty() && log_.begin()->first <= until) {
    for (const Reply& reply : log_.begin()->second.replies) send(reply);
    log_.erase(log_.begin());
  }
}

void DataPlane::hear_follower(const std::string& peer, const DataHeader& header) {
  if (!of_this_life(header, settings_.identity) || header.sequence > logged_) {
    log::warn("a follower of another life or shard is not listened to");
    return;
  }
  follower_heard_ = now();
  let_go(header.sequence);
  if (header.kind == DataKind::logged) return;
  if (follower_ != peer) log::info("the follower is there");
  follower_ = peer;
  for (const auto& [number, entry] : log_) send_entry(entry);
}

// ---- the follower

void DataPlane::follow() {
  const Identity& identity = settings_.identity;
  const auto say = [&](net::DataClient& shard, DataKind kind) {
    const DataHeader header{.kind = kind,
                            .job = identity.job,
                            .incarnation = identity.incarnation,
                            .shard = identity.shard,
                            .sequence = logged_};
    shard.send(protocol::encode(header), nullptr);
  };
  auto shard = net::DataClient::connect(settings_.follows);
  if (!shard) log::error("cannot follow: {}", shard.error().message);
  Time heard{};
  while (shard && !stopping_ && !promoted_) {
    if (now() - heard > silence_max) {
      say(**shard, DataKind::follow);
      heard = now();
    }
    auto message = (*shard)->receive(poll_patience);
    const Time began = now();
    if (!message) {
      tell_work(began);
      continue;
    }
    auto header = protocol::decode_data_header(message->header);
    if (!header || header->log == 0 || header->incarnation != identity.incarnation) continue;
    if (header->log > logged_ + 1) {  // something was lost before it
      say(**shard, DataKind::follow);
      continue;
    }
    heard = began;
    if (header->log == logged_ + 1) take(std::move(*header), std::move(message->payload));
    say(**shard, DataKind::logged);
    tell_work(began);
  }
  while (!shard && !stopping_ && !promoted_) (void)server_->receive(poll_patience);
  if (stopping_) return;
  log::info("takes over shard {} with step {}, after {} messages", identity.shard, core_.step(), logged_);
  alone_ = true;
  if (newest_save_) {
    std::vector<SavedPart> saves;
    saves.push_back(std::move(*newest_save_));
    newest_save_.reset();
    keep(std::move(saves));
  }
}

/// The core does what that of the shard does. Nobody is answered: who waits asks again.
void DataPlane::take(DataHeader header, net::Payload payload) {
  logged_ = std::exchange(header.log, 0);
  auto shared = std::make_shared<net::Payload>(std::move(payload));
  const auto bytes = shared->bytes();
  working_.received += bytes.size();
  Outcome outcome = core_.on({"", std::move(header), {bytes, std::move(shared)}});
  if (!outcome.saves.empty()) newest_save_ = std::move(outcome.saves.back());
}

}  // namespace trainyard::ps
