#include "daemons/trainer/training.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/optim/optimizer.hpp"
#include "common/store/checkpoint.hpp"
#include "daemons/trainer/chief_part.hpp"

namespace trainyard::trainer {

namespace {

constexpr std::uint64_t steps_ahead = 4;  // that the loader works on
constexpr Duration progress_every = 250ms;
constexpr Duration lease_without_master = 1s;  // then a trainer goes on by itself
constexpr Duration commit_patience = 30s;      // for the manifest of the last checkpoint
constexpr std::size_t bad_named_max = 100;
constexpr std::size_t skipped_max = 10'000;

Time now() { return std::chrono::steady_clock::now(); }

}  // namespace

Training::Training(runtime::TaskEnvironment environment, config::JobSpec job, Link& link)
    : environment_(std::move(environment)), job_(std::move(job)), link_(link) {}

Training::~Training() = default;

Status Training::run() {
  if (const Status done = prepare(); !done) return done;
  if (const Status done = await_roster(); !done) return done;
  if (const Status done = connect(); !done) return done;
  if (const Status done = train(); !done) return done;
  return finish();
}

Status Training::prepare() {
  auto dataset = data::open_dataset(job_.data);
  if (!dataset) return dataset.error().with("data.source.path");
  dataset_ = std::move(*dataset);
  auto pipeline = data::Pipeline::make(job_.data.transform, *dataset_);
  if (!pipeline) return pipeline.error();
  pipeline_ = std::move(*pipeline);
  split_ = data::split(*dataset_, job_.data);
  if (split_.train.empty()) {
    return Error{Errc::invalid,
                 format("data.split: no records are left for training ({} in all)", dataset_->size())};
  }
  const graph::InputShape input{pipeline_->channels(), pipeline_->height(), pipeline_->width()};
  auto network =
      graph::Network::build(job_.model, input, static_cast<std::uint32_t>(dataset_->classes().size()),
                            {.batch_max = job_.data.batch_size, .training = true, .seed = job_.train.seed});
  if (!network) return Error{Errc::invalid, network.error().message};
  network_ = std::move(*network);
  const data::Geometry geometry{split_.train.size(), job_.cluster.trainers, job_.data.batch_size};
  plan_.emplace(geometry, job_.train.epochs, environment_.key.task.index);
  loader_ = std::make_unique<data::Loader>(*dataset_, *pipeline_, std::max(1u, job_.data.loaders),
                                           static_cast<std::uint32_t>(steps_ahead), job_.train.seed);
  if (is_chief()) {
    log::info("{} records of {} classes: {} to train, {} to validate, {} to test", dataset_->size(),
              dataset_->classes().size(), split_.train.size(), split_.validation.size(), split_.test.size());
    log::info("the network\n{}", network_->summary());
  }
  return {};
}

Status Training::await_roster() {
  while (!link_.cancelled) {
    const auto message = link_.inbox.take_for(100ms);
    if (!message) continue;
    if (const auto* roster = std::get_if<protocol::Roster>(&*message)) {
      roster_ = *roster;
      return {};
    }
    if (const Status heard = hear(*message); !heard) return heard;
  }
  return cancelled_error();
}

Status Training::connect() {
  std::vector<optim::TensorSize> tensors;
  for (const graph::TensorInfo& tensor : network_->tensors()) {
    tensors.push_back({tensor.length, static_cast<std::uint8_t>(tensor.kind)});
  }
  std::vector<std::pair<std::uint32_t, std::string>> shards;
  for (const protocol::Member& member : roster_.members) {
    if (member.task.role == Role::ps) shards.emplace_back(member.task.index, member.address);
  }
  std::sort(shards.begin(), shards.end());
  const std::uint64_t steps_per_epoch = plan_->geometry().steps_per_epoch();
  std::unique_ptr<LocalExchange> local;
  if (shards.empty()) {
    if (job_.cluster.trainers != 1) {
      return Error{Errc::invalid, "cluster.parameter_servers: several trainers need at least one shard"};
    }
    local = std::make_unique<LocalExchange>(job_.train, std::move(tensors), steps_per_epoch);
  } else {
    ShardExchange::Settings settings{.job = number(environment_.key.task.job),
                                     .incarnation = number(environment_.key.incarnation),
                                     .rank = environment_.key.task.index,
                                     .shards = {},
                                     .tensors = std::move(tensors),
                                     .steps_per_epoch = steps_per_epoch};
    for (auto& [index, address] : shards) settings.shards.push_back(std::move(address));
    auto exchange = ShardExchange::connect(std::move(settings), link_.cancelled);
    if (!exchange) return exchange.error();
    exchange_ = std::move(*exchange);
  }
  if (roster_.resume_step > 0) {
    const std::string directory = environment_.checkpoint_dir + "/" + roster_.resume_directory;
    auto part = read_chief_part(directory);
    if (!part) return part.error();
    history_ = std::move(part->history);
    ended_ = part->ended;
    if (local) {
      if (const Status restored = local->restore(part->table); !restored)
        return restored.error().with(directory);
    }
  }
  if (local) exchange_ = std::move(local);
  const auto step = exchange_->begin(network_->values());
  if (!step) return step.error();
  start_ = requested_ = *step;
  if (start_ != roster_.resume_step) {
    return Error{Errc::corrupt,
                 format("the shards are at step {}, the checkpoint at step {}", start_, roster_.resume_step)};
  }
  if (start_ > 0) log::info("goes on from step {} of {}", start_, plan_->steps());
  return {};
}

Status Training::train() {
  if (is_chief()) {
    chief_.emplace(job_.checkpoint.every, plan_->steps(), now());
    if (stop_asked_) chief_->stop();
  }
  sums_ = {.since = now()};
  for (std::uint64_t step = start_ + 1; step <= plan_->steps() && !ended_; ++step) {
    if (const Status done = train_step(step); !done) return done;
  }
  ended_ = true;
  return {};
}

Status Training::train_step(std::uint64_t step) {
  if (const Status heard = hear_all(); !heard) return heard;
  if (const Status leased = lease(step); !leased) return leased;
  if (link_.cancelled) return cancelled_error();
  request_ahead(step);
  const Time began = now();
  const auto batch = loader_->next();
  check(batch.has_value() && batch->step == step, "the loader gives what was requested, in order");
  if (!batch->bad.empty() && job_.data.fail_on_bad_record) {
    return Error{Errc::invalid, format("data.on_bad_record is fail: {}", batch->bad.front())};
  }
  const Time loaded = now();
  Push push{.step = step, .samples = batch->count()};
  if (batch->count() > 0) {
    const graph::StepResult result = network_->train_step(batch->images, batch->labels, batch->keys, step);
    if (!result.finite) {
      return Error{Errc::invalid,
                   format("the loss is not finite at step {}: lower train.optimizer.learning_rate "
                          "or add warmup_steps to train.schedule",
                          step)};
    }
    sums_.loss += result.loss_sum;
    sums_.correct += result.correct;
    sums_.samples += batch->count();
    push.gradients = network_->gradients();
  }
  const Time computed = now();
  if (chief_) push.marks = chief_->mark(step, computed);
  const auto last = exchange_->step(push, network_->values());
  if (!last) return last.error();
  const Time exchanged = now();
  sums_.input += loaded - began;
  sums_.compute += computed - loaded;
  sums_.exchange += exchanged - computed;
  partition_samples_ += batch->count();
  partition_bad_count_ += static_cast<std::uint32_t>(batch->bad.size());
  for (const std::string& bad : batch->bad) {
    if (partition_bad_.size() < bad_named_max) partition_bad_.push_back(bad);
    if (skipped_.size() < skipped_max) skipped_.insert(bad);
  }
  ended_ = *last;
  if (push.marks.checkpoint) {
    save(step, push.marks.last && !stop_asked_);
  }
  end_partition(step);
  if (plan_->ends_epoch(step)) {
    end_epoch(step);
  } else if (step == start_ + 1 || exchanged - told_ >= progress_every) {
    std::map<std::string, double> metrics;
    if (sums_.samples > 0) {
      metrics["train/loss"] = sums_.loss / static_cast<double>(sums_.samples);
      metrics["train/accuracy"] = static_cast<double>(sums_.correct) / static_cast<double>(sums_.samples);
    }
    tell_progress("train", step, metrics);
  }
  return {};
}

/// Waits until this trainer may use the partition that `step` begins. In synchronous order the partition can
/// be nobody else's, so that a master that is away stops nobody: it hears of the lease when it is back.
Status Training::lease(std::uint64_t step) {
  const Run run = plan_->run_of(step);
  if (granted_ == run.partition) return {};
  link_.report(protocol::RequestPartition{environment_.key, run.partition.epoch, run.partition.index});
  std::optional<Time> away_since;
  while (granted_ != run.partition) {
    if (link_.cancelled) return cancelled_error();
    if (const auto message = link_.inbox.take_for(50ms)) {
      if (const Status heard = hear(*message); !heard) return heard;
      continue;
    }
    if (link_.connected) {
      away_since.reset();
    } else if (!away_since) {
      away_since = now();
    } else if (now() - *away_since > lease_without_master) {
      log::warn("the master is away; partition {} of epoch {} is used without its word", run.partition.index,
                run.partition.epoch + 1);
      granted_ = run.partition;
    }
  }
  return {};
}

std::span<const std::uint32_t> Training::order_of(std::uint64_t epoch) {
  auto it = orders_.find(epoch);
  if (it == orders_.end()) {
    it = orders_.emplace(epoch, data::epoch_order(split_.train, job_.train.seed, epoch)).first;
    while (orders_.size() > 2) orders_.erase(orders_.begin());
  }
  return it->second;
}

void Training::request_ahead(std::uint64_t step) {
  const std::uint64_t until = std::min(step + steps_ahead, plan_->steps());
  while (requested_ < until) {
    ++requested_;
    const std::uint64_t epoch = plan_->epoch_of(requested_);
    const auto records =
        data::records_of(plan_->geometry(), order_of(epoch), plan_->place_of(requested_), plan_->rank());
    loader_->request(requested_, epoch, true, {records.begin(), records.end()});
  }
}

Status Training::hear_all() {
  while (auto message = link_.inbox.take_for(0s)) {
    if (const Status heard = hear(*message); !heard) return heard;
  }
  return {};
}

Status Training::hear(const protocol::Message& message) {
  if (const auto* grant = std::get_if<protocol::GrantPartition>(&message)) {
    granted_ = grant->partition;
  } else if (const auto* commit_message = std::get_if<protocol::CommitCheckpoint>(&message)) {
    commit(*commit_message);
  } else if (const auto* failed = std::get_if<protocol::CheckpointFailed>(&message)) {
    give_up(failed->step, name(failed->key.task), failed->reason);
  } else if (const auto* stop = std::get_if<protocol::StopTraining>(&message)) {
    if (!stop_asked_) log::info("asked to save and stop: {}", stop->reason);
    stop_asked_ = true;
    if (chief_) chief_->stop();
  }
  return {};
}

std::string Training::directory_of(std::uint64_t step) const {
  return environment_.checkpoint_dir + "/" +
         store::checkpoint_name(step, number(environment_.key.incarnation));
}

void Training::save(std::uint64_t step, bool last) {
  chief_->begin(step);
  const auto part = write_chief_part(directory_of(step), {.ended = last, .history = history_, .table = {}},
                                     exchange_->own_state());
  if (!part) {
    link_.report(protocol::CheckpointFailed{environment_.key, step, part.error().message});
    return give_up(step, name(environment_.key.task), part.error().message);
  }
  link_.report(protocol::CheckpointPart{environment_.key, step, part->file, part->bytes, part->checksum});
}

void Training::commit(const protocol::CommitCheckpoint& message) {
  if (!chief_ || !chief_->may_commit(message.step)) return;
  const std::uint64_t epoch = message.step == 0 ? 0 : plan_->epoch_of(message.step);
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
            ended_ ? "going on without it" : "training goes on, the next one is tried as usual");
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

void Training::end_partition(std::uint64_t step) {
  const Run run = plan_->run_of(step);
  if (step != run.last && !ended_) return;
  link_.report(protocol::PartitionDone{environment_.key, run.partition, partition_samples_, partition_bad_,
                                       partition_bad_count_});
  partition_samples_ = partition_bad_count_ = 0;
  partition_bad_.clear();
}

void Training::end_epoch(std::uint64_t step) {
  const double samples = std::max(1.0, static_cast<double>(sums_.samples));
  const Duration took = now() - sums_.since;
  std::map<std::string, double> metrics{
      {"train/loss", sums_.loss / samples},
      {"train/accuracy", static_cast<double>(sums_.correct) / samples},
      {"learning_rate", learning_rate(step)},
      {"samples_per_second", samples * job_.cluster.trainers / seconds(took)},
      {"wait/input", seconds(sums_.input) / seconds(took)},
      {"wait/compute", seconds(sums_.compute) / seconds(took)},
      {"wait/exchange", seconds(sums_.exchange) / seconds(took)}};
  if (is_chief()) {
    if (!split_.validation.empty()) {
      const Evaluation validation =
          evaluate(*network_, *dataset_, *pipeline_, split_.validation, job_.data.batch_size,
                   std::max(1u, job_.data.loaders), link_.cancelled);
      metrics["validation/loss"] = validation.metrics.loss;
      metrics["validation/accuracy"] = validation.metrics.accuracy;
      skipped_.insert(validation.bad.begin(), validation.bad.end());
    }
    metrics["seconds"] = seconds(now() - sums_.since);
    history_.push_back({plan_->epoch_of(step) + 1, step, metrics});
    if (job_.train.early_stop && should_stop_early(*job_.train.early_stop, history_)) {
      log::info("{} did not get better for {} epochs; training stops", job_.train.early_stop->metric,
                job_.train.early_stop->patience);
      chief_->stop();
    }
  }
  tell_progress("evaluate", step, metrics);
  sums_ = {.since = now()};
}

void Training::tell_progress(const char* phase, std::uint64_t step,
                             const std::map<std::string, double>& metrics) {
  told_ = now();
  link_.report(protocol::Progress{environment_.key, phase,
                                  plan_->epoch_of(std::max<std::uint64_t>(step, 1)) + 1, plan_->epochs(),
                                  step, plan_->steps(), metrics});
}

double Training::learning_rate(std::uint64_t step) const {
  return optim::learning_rate(job_.train.schedule, job_.train.optimizer.learning_rate, step,
                              plan_->geometry().steps_per_epoch(), plan_->steps());
}

}  // namespace trainyard::trainer
