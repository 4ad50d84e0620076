// Checkpoints of a training: the chief's part, the manifest once all parts are there, giving up one that
// cannot be written, and the wait for the last.
#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/store/checkpoint.hpp"
#include "daemons/trainer/chief_part.hpp"
#include "daemons/trainer/training.hpp"

namespace trainyard::trainer {

namespace {

constexpr Duration commit_patience = 30s;  // for the manifest of the last checkpoint

Time now() { return std::chrono::steady_clock::now(); }

}  // namespace

std::string Training::directory_of(std::uint64_t step) const {
  return environment_.checkpoint_dir + "/" +
         store::checkpoint_name(step, number(environment_.key.incarnation));
}

void Training::save(std::uint64_t step, bool done) {
  chief_->begin(step);
  const auto part = write_chief_part(directory_of(step),
                                     {.ended = done,
                                      .history = history_,
                                      .epoch_so_far = {sums_.loss, sums_.correct, sums_.samples},
                                      .table = {}},
                                     exchange_->own_state());
  if (!part) {
    link_.report(protocol::CheckpointFailed{environment_.key, step, part.error().message});
    return give_up(step, name(environment_.key.task), part.error().message);
  }
  link_.report(protocol::CheckpointPart{environment_.key, step, part->file, part->bytes, part->checksum});
}

void Training::commit(const protocol::CommitCheckpoint& message) {
  if (!chief_ || !chief_->may_commit(message.step)) return;
  const std::uint64_t epoch = message.step / plan_->geometry().steps_per_epoch();  // that are complete
  store::Manifest manifest{message.step, epoch, number(environment_.key.incarnation), {}};
  for (const protocol::CheckpointPart& part : message.parts) {
    manifest.parts.push_back({part.file, part.bytes, part.checksum});
  }
  if (const Status written = store::write_manifest(directory_of(message.step), manifest); !written) {
    link_.report(protocol::CheckpointFailed{environment_.key, message.step, written.error().message});
    return give_up(message.step, name(environment_.key.task), written.error().message);
  }
  const auto pruned = store::prune(environment_.checkpoint_dir, job_.checkpoint.keep);
  if (!pruned) log::warn("old checkpoints stay: {}", pruned.error().message);
  chief_->committed(message.step);
  link_.report(protocol::CheckpointWritten{
      environment_.key, message.step, epoch,
      store::checkpoint_name(message.step, number(environment_.key.incarnation))});
}

void Training::give_up(std::uint64_t step, const std::string& who, const std::string& reason) {
  if (!chief_ || !chief_->give_up(step)) return;
  log::warn("no checkpoint of step {}: {} could not write it: {}; {}", step, who, reason,
            ending_ != protocol::Ending::none ? "going on without it"
                                              : "training goes on, the next one is tried as usual");
  // What is there of it would only make a full disk fuller; the next prune takes what cannot be removed now.
  (void)store::discard(directory_of(step));
}

Status Training::await_commit() {
  const Time until = now() + commit_patience;
  while (chief_->awaited() != 0 && !link_.cancelled && now() < until) {
    const auto message = link_.inbox.take_for(50ms);
    if (!message) continue;
    if (const Status heard = hear(*message); !heard) return heard;
  }
  if (link_.cancelled) return cancelled_error();
  if (chief_->awaited() != 0)
    log::warn("the checkpoint of step {} is not complete; going on without it", chief_->awaited());
  return {};
}

}  // namespace trainyard::trainer
