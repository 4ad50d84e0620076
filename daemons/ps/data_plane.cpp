#include "daemons/ps/data_plane.hpp"

#include <utility>

#include "common/base/log.hpp"
#include "common/base/text.hpp"

namespace trainyard::ps {

using protocol::DataHeader;
using protocol::DataKind;

namespace {

constexpr Duration poll_patience = 200ms;
constexpr Duration work_every = 250ms;
constexpr Duration follower_patience = 1s;

Time now() { return std::chrono::steady_clock::now(); }

}  // namespace

std::string part_name(std::uint32_t shard) { return format("ps-{}.part", shard); }

DataPlane::DataPlane(std::unique_ptr<net::DataServer> server, Core core, Settings settings,
                     std::function<void(const Written&)> written)
    : server_(std::move(server)),
      core_(std::move(core)),
      settings_(std::move(settings)),
      rows_(settings_.identity, settings_.train, settings_.checkpoint_dir + "/spilled"),
      written_(std::move(written)),
      alone_(!settings_.has_follower),
      writer_([this] { write_parts(); }),
      server_thread_([this] { run(); }) {}

DataPlane::~DataPlane() {
  stopping_ = true;
  server_->wake();
  server_thread_.join();
  to_write_.close();
  writer_.join();
}

void DataPlane::promote() {
  promoted_ = true;
  server_->wake();
}

void DataPlane::go_on_alone() {
  alone_ = true;
  server_->wake();
}

void DataPlane::run() {
  if (!settings_.follows.empty()) follow();
  serve();
}

void DataPlane::serve() {
  while (!stopping_) {
    auto message = server_->receive(poll_patience);
    const Time began = now();
    if (message) answer(std::move(*message));
    if (alone_ && !log_.empty()) let_go(logged_);
    // What was lost on the way is sent again; the follower knows what it has.
    if (!log_.empty() && !follower_.empty() && began - follower_heard_ > follower_patience) {
      follower_heard_ = began;
      for (const auto& [number, entry] : log_) send_entry(entry);
    }
    tell_work(began);
  }
}

void DataPlane::tell_work(Time began) {
  const Time ended = now();
  working_.busy += ended - began;
  if (ended - told_ < work_every) return;
  told_ = ended;
  working_.step = core_.step();
  working_.counts = core_.counts();
  const std::lock_guard lock(work_mutex_);
  work_ = working_;
}

Work DataPlane::work() const {
  const std::lock_guard lock(work_mutex_);
  return work_;
}

void DataPlane::answer(net::DataMessage message) {
  if (protocol::is_rows_header(message.header)) {
    answer_rows(std::move(message));
    return;
  }
  auto header = protocol::decode_data_header(message.header);
  if (!header) {
    log::warn("a message from a trainer is unreadable and was dropped: {}", header.error().message);
    return;
  }
  if (header->kind == DataKind::follow || header->kind == DataKind::logged)
    return hear_follower(message.peer, *header);
  if (header->log > 0) return;  // of a shard that this one followed, and that was given up
  auto payload = std::make_shared<net::Payload>(std::move(message.payload));
  const auto bytes = payload->bytes();
  working_.received += bytes.size();
  const bool alone = alone_;
  Entry entry;
  if (!alone) entry = {*header, payload, {}};
  Outcome outcome = core_.on({std::move(message.peer), std::move(*header), {bytes, payload}});
  keep(std::move(outcome.saves));
  if (alone) {
    for (const Reply& reply : outcome.replies) send(reply);
    return;
  }
  entry.replies = std::move(outcome.replies);
  entry.header.log = ++logged_;
  const Entry& kept = log_.emplace(logged_, std::move(entry)).first->second;
  if (!follower_.empty()) send_entry(kept);
}

void DataPlane::send(const Reply& reply) {
  if (reply.peer.empty()) return;  // it asked another shard, and asks again
  if (reply.header.kind == DataKind::refused)
    log::warn("refused trainer-{}: {}", reply.header.trainer, reply.header.reason);
  if (reply.values) working_.sent += reply.values->size() * sizeof(float);
  server_->send(reply.peer, protocol::encode(reply.header), reply.values);
}

void DataPlane::keep(std::vector<SavedPart> saves) {
  for (SavedPart& saved : saves) {
    const std::uint64_t number = saved.checkpoint;
    if (!to_write_.try_put(saved))
      written_({number, Error{Errc::conflict, "the checkpoint before it is still being written"}});
  }
}

void DataPlane::answer_rows(net::DataMessage message) {
  auto header = protocol::decode_rows_header(message.header);
  if (!header) {
    log::warn("a message from a trainer is unreadable and was dropped: {}", header.error().message);
    return;
  }
  if (settings_.has_follower || !settings_.follows.empty()) {
    header->kind = protocol::RowsKind::refused;
    header->reason = "tables of rows have no followers yet; use cluster.replicas 0";
    server_->send(message.peer, protocol::encode(*header), nullptr);
    return;
  }
  auto payload = std::make_shared<net::Payload>(std::move(message.payload));
  const auto bytes = payload->bytes();
  for (const RowReply& reply :
       rows_.on({std::move(message.peer), std::move(*header), {bytes, std::move(payload)}})) {
    if (reply.header.kind == protocol::RowsKind::refused) {
      log::warn("refused trainer-{}, table {}: {}", reply.header.trainer, reply.header.table,
                reply.header.reason);
    }
    server_->send(reply.peer, protocol::encode(reply.header), reply.rows);
  }
}

void DataPlane::write_parts() {
  while (const auto saved = to_write_.take()) {
    const std::string directory = settings_.checkpoint_dir + "/" +
                                  store::checkpoint_name(saved->checkpoint, settings_.identity.incarnation);
    const auto pieces = saved->pieces();
    written_({saved->checkpoint, store::write_part(directory, part_name(settings_.identity.shard), pieces)});
  }
}

}  // namespace trainyard::ps
