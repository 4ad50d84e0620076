#include "daemons/ps/data_plane.hpp"

#include <utility>

#include "common/base/log.hpp"
#include "common/base/text.hpp"

namespace trainyard::ps {

namespace {

constexpr Duration poll_patience = 200ms;
constexpr Duration work_every = 250ms;

Time now() { return std::chrono::steady_clock::now(); }

}  // namespace

std::string part_name(std::uint32_t shard) { return format("ps-{}.part", shard); }

DataPlane::DataPlane(std::unique_ptr<net::DataServer> server, Core core, Settings settings,
                     std::function<void(const Written&)> written)
    : server_(std::move(server)),
      core_(std::move(core)),
      settings_(std::move(settings)),
      written_(std::move(written)),
      writer_([this] { write_parts(); }),
      server_thread_([this] { serve(); }) {}

DataPlane::~DataPlane() {
  stopping_ = true;
  server_->wake();
  server_thread_.join();
  to_write_.close();
  writer_.join();
}

void DataPlane::serve() {
  Time told{};
  while (!stopping_) {
    auto message = server_->receive(poll_patience);
    const Time began = now();
    if (message) answer(std::move(*message));
    const Time ended = now();
    working_.busy += ended - began;
    if (ended - told < work_every) continue;
    told = ended;
    working_.step = core_.step();
    working_.counts = core_.counts();
    const std::lock_guard lock(work_mutex_);
    work_ = working_;
  }
}

Work DataPlane::work() const {
  const std::lock_guard lock(work_mutex_);
  return work_;
}

void DataPlane::answer(net::DataMessage message) {
  auto header = protocol::decode_data_header(message.header);
  if (!header) {
    log::warn("a message from a trainer is unreadable and was dropped: {}", header.error().message);
    return;
  }
  auto payload = std::make_shared<net::Payload>(std::move(message.payload));
  const auto bytes = payload->bytes();
  working_.received += bytes.size();
  Outcome outcome = core_.on({std::move(message.peer), std::move(*header), {bytes, std::move(payload)}});
  for (const Reply& reply : outcome.replies) {
    if (reply.header.kind == protocol::DataKind::refused) {
      log::warn("refused trainer-{}: {}", reply.header.trainer, reply.header.reason);
    }
    if (reply.values) working_.sent += reply.values->size() * sizeof(float);
    server_->send(reply.peer, protocol::encode(reply.header), reply.values);
  }
  for (SavedPart& saved : outcome.saves) {
    const std::uint64_t number = saved.checkpoint;
    if (!to_write_.try_put(saved))
      written_({number, Error{Errc::conflict, "the checkpoint before it is still being written"}});
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
