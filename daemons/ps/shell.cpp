#include "daemons/ps/shell.hpp"

#include <algorithm>
#include <csignal>
#include <map>
#include <utility>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/runtime/daemon.hpp"

namespace trainyard::ps {

namespace {

constexpr Duration goodbye_patience = 2s;
constexpr Duration tell_every = 1s;

}  // namespace

Shell::Shell(net::Reactor& reactor, runtime::TaskEnvironment environment, config::JobSpec job)
    : reactor_(reactor), environment_(std::move(environment)), job_(std::move(job)) {}

Status Shell::start() {
  auto server = net::DataServer::bind(environment_.address);
  if (!server) return server.error().with("tensor channel");
  server_ = std::move(*server);
  reactor_.every(tell_every, [this] { tell(); });
  reactor_.on_signal({SIGHUP}, [](int) { log::info("SIGHUP: a task has nothing to reload"); });
  reactor_.on_signal({SIGTERM, SIGINT}, [this](int) {
    log::info("asked to stop");
    end(runtime::exit_ok);
  });
  log::info("{} of job {} listens on {}", name(environment_.key.task), number(environment_.key.task.job),
            server_->endpoint());
  member_ =
      std::make_unique<runtime::Member>(reactor_, environment_, server_->endpoint(),
                                        [this](const protocol::Message& message) { received(message); });
  return {};
}

void Shell::received(const protocol::Message& message) {
  std::visit(overloaded{
                 [&](const protocol::Roster& roster) { serve(roster); },
                 [&](const protocol::Dismiss&) {
                   log::info("dismissed");
                   // Reports of this shard may still be under way.
                   member_->flush(goodbye_patience, [this] { end(runtime::exit_ok); });
                 },
                 [&](const protocol::Refused& refused) {
                   log::warn("the master refused: {}", refused.reason);
                   if (refused.final) end(runtime::exit_failed);
                 },
                 [](const auto&) {},
             },
             message);
}

/// The address of the shard's other half; nothing if there is none.
std::optional<std::string> Shell::other_half(const protocol::Roster& roster) const {
  const std::uint32_t shards = job_.cluster.parameter_servers;
  for (const protocol::Member& member : roster.members) {
    if (member.task.role == Role::ps && member.task != environment_.key.task &&
        member.task.index % shards == environment_.key.task.index % shards)
      return member.address;
  }
  return std::nullopt;
}

void Shell::serve(const protocol::Roster& roster) {
  bool follows = false;
  for (const protocol::Member& member : roster.members)
    if (member.task == environment_.key.task) follows = member.follows;
  const auto other = other_half(roster);
  if (plane_) {  // sent again after a reconnect, or a shard has moved
    if (roster.epoch <= epoch_) return;
    epoch_ = roster.epoch;
    if (follows_ && !follows) {
      follows_ = false;
      plane_->promote();
    } else if (!follows && !other) {
      plane_->go_on_alone();
    }
    return;
  }
  epoch_ = roster.epoch;
  follows_ = follows;
  const Identity identity{.job = number(environment_.key.task.job),
                          .incarnation = number(environment_.key.incarnation),
                          .shard = environment_.key.task.index % job_.cluster.parameter_servers,
                          .trainers = job_.cluster.trainers,
                          .shards = job_.cluster.parameter_servers};
  Core core(identity, job_.train, job_.strategy);
  if (roster.resume_step > 0) {
    if (const Status restored = restore(core, roster.resume_directory); !restored) {
      log::error("cannot resume: {}", restored.error().message);
      end(runtime::exit_failed);
      return;
    }
    log::info("resumes from step {}", core.checkpoint());
  }
  plane_ = std::make_unique<DataPlane>(
      std::move(server_), std::move(core),
      DataPlane::Settings{.identity = identity,
                          .checkpoint_dir = environment_.checkpoint_dir,
                          .train = job_.train,
                          .has_follower = !follows && other.has_value(),
                          .follows = follows && other ? *other : ""},
      [this](const Written& written) { reactor_.post([this, written] { report(written); }); });
}

/// How the shard goes: rates of the last second, counts of all.
void Shell::tell() {
  if (!plane_) return;
  const Time now = std::chrono::steady_clock::now();
  const Work work = plane_->work();
  const Counts& counts = work.counts;
  const double took = std::max(seconds(now - told_at_), 1e-3);
  const auto rate = [&](std::uint64_t after, std::uint64_t before) {
    return static_cast<double>(after - before) / took;
  };
  std::size_t stalest = counts.staleness.size();
  while (stalest > 0 && counts.staleness[stalest - 1] == 0) --stalest;
  std::map<std::string, double> metrics{
      {"pushes_per_second", rate(counts.pushes, told_.counts.pushes)},
      {"received_bytes_per_second", rate(work.received, told_.received)},
      {"sent_bytes_per_second", rate(work.sent, told_.sent)},
      {"busy", seconds(work.busy - told_.busy) / took},
      {"pushes", static_cast<double>(counts.pushes)},
      {"dropped", static_cast<double>(counts.dropped)},
      {"repeated", static_cast<double>(counts.repeated)},
      {"spread/max", static_cast<double>(counts.spread)},
      {"staleness/mean", static_cast<double>(counts.staleness_sum) /
                             static_cast<double>(std::max<std::uint64_t>(counts.pushes, 1))},
      {"staleness/max", static_cast<double>(stalest > 0 ? stalest - 1 : 0)}};
  for (std::size_t i = 0; i < stalest; ++i)
    if (counts.staleness[i] > 0)
      metrics[format("staleness/{:02}", i)] = static_cast<double>(counts.staleness[i]);
  told_ = work;
  told_at_ = now;
  member_->report(protocol::Progress{environment_.key, "serve", 0, 0, work.step, 0, metrics});
}

void Shell::report(const Written& written) {
  if (written.part) {
    member_->report(protocol::CheckpointPart{environment_.key, written.step, written.part->file,
                                             written.part->bytes, written.part->checksum});
    return;
  }
  log::warn("no part of the checkpoint of step {}: {}", written.step, written.part.error().message);
  member_->report(protocol::CheckpointFailed{environment_.key, written.step, written.part.error().message});
}

/// This shard's part, or all of them where another number of shards wrote them.
Status Shell::restore(Core& core, const std::string& directory) const {
  const std::string path = environment_.checkpoint_dir + "/" + directory;
  const auto manifest = store::read_manifest(path);
  if (!manifest) return manifest.error();
  const std::uint32_t shards = job_.cluster.parameter_servers;
  const std::string own = part_name(environment_.key.task.index % shards);
  std::uint32_t written = 0;
  for (const store::PartInfo& part : manifest->parts) written += part.file.starts_with("ps-") ? 1 : 0;
  if (written == 0) return Error{Errc::corrupt, format("{}: no shard wrote a part of it", path)};
  std::vector<std::string> parts;
  for (const store::PartInfo& part : manifest->parts) {
    if (written == shards ? part.file != own : !part.file.starts_with("ps-")) continue;
    auto bytes = store::read_part(path, part);
    if (!bytes) return bytes.error();
    parts.push_back(std::move(*bytes));
  }
  if (parts.empty()) return Error{Errc::corrupt, format("{}: has no {}", path, own)};
  const Status restored = written == shards ? core.restore(parts.front()) : core.restore_from_others(parts);
  if (!restored) return restored.error().with(path);
  if (core.checkpoint() != manifest->step) {
    return Error{Errc::corrupt, format("{}: a part is of checkpoint {}, the manifest of {}", path,
                                       core.checkpoint(), manifest->step)};
  }
  return {};
}

void Shell::end(int exit_code) {
  exit_code_ = exit_code;
  reactor_.stop();
}

}  // namespace trainyard::ps
