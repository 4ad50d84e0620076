#include "daemons/trainer/training.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include "common/base/log.hpp"
#include "common/base/text.hpp"
#include "common/graph/fine_tune.hpp"
#include "common/graph/inspect.hpp"
#include "common/graph/layers.hpp"
#include "common/graph/narrow.hpp"
#include "common/optim/parameters.hpp"
#include "common/optim/schedule.hpp"
#include "common/store/checkpoint.hpp"
#include "daemons/trainer/chief_part.hpp"

namespace trainyard::trainer {

using protocol::Ending;

namespace {

constexpr Duration progress_every = 250ms;
constexpr std::size_t bad_named_max = 100;
constexpr std::size_t skipped_max = 10'000;
constexpr const char* seconds_metric = "trainyard_trainer_seconds_total";
constexpr const char* seconds_help = "Time that steps took: waiting for records, computing, exchanging.";

Time now() { return std::chrono::steady_clock::now(); }

}  // namespace

Training::Training(runtime::TaskEnvironment environment, config::JobSpec job, Link& link)
    : environment_(std::move(environment)), job_(std::move(job)), link_(link), counted_(link.registry) {}

Training::Counted::Counted(metrics::Registry& registry)
    : steps(registry.counter("trainyard_trainer_steps_total", "Training steps done.")),
      samples(registry.counter("trainyard_trainer_samples_total", "Records that were trained on.")),
      overflows(registry.counter("trainyard_trainer_overflows_total",
                                 "Batches that were left out because their gradients overflowed in fp16.")),
      dropped(registry.counter("trainyard_trainer_dropped_steps_total",
                               "Steps that went on without this trainer, as a backup.")),
      input(registry.counter(seconds_metric, seconds_help, "phase=\"input\"")),
      compute(registry.counter(seconds_metric, seconds_help, "phase=\"compute\"")),
      exchange(registry.counter(seconds_metric, seconds_help, "phase=\"exchange\"")) {}

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
  if (const Status built = build(input); !built) return built;
  const data::Geometry geometry{split_.train.size(), job_.cluster.trainers,
                                job_.data.batch_size * job_.train.accumulation};
  plan_.emplace(geometry, job_.train.epochs, environment_.key.task.index);
  loader_ = std::make_unique<data::Loader>(*dataset_, *pipeline_, std::max(1u, job_.data.loaders),
                                           static_cast<std::uint32_t>(steps_ahead), job_.train.seed);
  if (is_chief()) {
    log::info("{} records of {} classes: {} to train, {} to validate, {} to test", dataset_->size(),
              dataset_->classes().size(), split_.train.size(), split_.validation.size(), split_.test.size());
    std::string summary = graph::inspection_text(graph::inspect(network_->model()));
    while (summary.ends_with('\n')) summary.pop_back();
    log::info("the network\n{}", summary);
  }
  return {};
}

/// The network, and what the job says of its tensors.
Status Training::build(const graph::InputShape& input) {
  auto model = graph::model_of(job_.model, input, static_cast<std::uint32_t>(dataset_->classes().size()),
                               job_.data.batch_size);
  if (!model) return Error{Errc::invalid, model.error().message};
  std::vector<optim::NamedTensor> names;
  for (const graph::TensorInfo& tensor : model->tensors)
    names.push_back({tensor.name, tensor.length, static_cast<optim::ValueKind>(tensor.kind)});
  auto tensors = optim::tensor_sizes(job_.train, names);
  if (!tensors) return tensors.error();
  tensors_ = std::move(*tensors);
  std::vector<bool> frozen;
  for (const optim::TensorSize& tensor : tensors_) frozen.push_back(tensor.frozen);
  frozen = graph::freeze_tensors(*model, std::move(frozen));
  for (std::size_t i = 0; i < frozen.size(); ++i) tensors_[i].frozen = frozen[i];
  const char* const granted = std::getenv("CUDA_VISIBLE_DEVICES");
  processor_ = choose_processor(granted != nullptr ? granted : "");
  const bool all_reduces = job_.strategy.kind == config::StrategyKind::all_reduce;
  graph::NetworkOptions options{
      .batch_max = job_.data.batch_size,
      .training = true,
      .seed = job_.train.seed,
      .backend = processor_.backend,
      .row_gradients = all_reduces ? graph::RowGradients::dense : graph::RowGradients::rows,
      .precision = job_.train.precision,
      .low_memory = job_.train.low_memory,
      .deterministic = job_.train.deterministic};
  auto network = graph::Network::build(processor_.backend ? *model : std::move(*model), options);
  if (!network && network.error().code == Errc::refused && processor_.backend) {
    processor_ = {nullptr, "the CPU", format("{}; the CPU computes", network.error().message)};
    options.backend = nullptr;
    network = graph::Network::build(std::move(*model), options);
  }
  if (!processor_.warning.empty()) log::warn("{}", processor_.warning);
  const bool narrow = job_.train.precision != config::Precision::fp32;
  log::info(
      "trains on {}{}", processor_.text,
      narrow ? format(", linear maps in {}", tensor::name_of(graph::type_of(job_.train.precision))) : "");
  if (!network) return Error{Errc::invalid, network.error().message};
  network_ = std::move(*network);
  const auto widths = network_->row_widths();
  for (std::size_t i = 0; i < tensors_.size(); ++i) tensors_[i].row = widths[i];
  watch_.emplace(*network_, job_, environment_);
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
  const std::vector<std::string> shards = shard_endpoints(roster_, job_.cluster.parameter_servers);
  if (is_chief()) {  // before anybody can be at a checkpoint of this life
    const Status rewound = store::rewind(environment_.checkpoint_dir, roster_.resume_step);
    if (!rewound) log::warn("older checkpoints stay: {}", rewound.error().message);
  }
  const std::uint64_t steps_per_epoch = plan_->geometry().steps_per_epoch();
  std::unique_ptr<LocalExchange> local;
  if (shards.empty()) {
    auto made = exchange_without_shards(steps_per_epoch);
    if (!made) return made.error();
    local = std::move(*made);
  } else {
    ShardExchange::Settings settings{.job = number(environment_.key.task.job),
                                     .incarnation = number(environment_.key.incarnation),
                                     .rank = environment_.key.task.index,
                                     .trainers = job_.cluster.trainers,
                                     .shards = {},
                                     .tensors = tensors_,
                                     .train = job_.train,
                                     .strategy = job_.strategy,
                                     .steps_per_epoch = steps_per_epoch};
    for (optim::TensorSize& tensor : settings.tensors) tensor.row = 0;  // shards hear of whole slices
    const bool locally = config::steps_locally(job_.strategy.update);
    if (locally) settings.tensors = LocalSteps::central(settings.tensors, job_.strategy.update);
    settings.shards = shards;
    if (job_.cluster.replicas > 0) settings.addresses = &link_.shards;
    auto exchange = ShardExchange::connect(std::move(settings), link_.cancelled);
    if (!exchange) return exchange.error();
    if (locally) {
      exchange_ = std::make_unique<LocalSteps>(LocalSteps::Settings{.train = job_.train,
                                                                    .strategy = job_.strategy,
                                                                    .trainers = job_.cluster.trainers,
                                                                    .tensors = tensors_,
                                                                    .steps_per_epoch = steps_per_epoch,
                                                                    .steps = plan_->steps(),
                                                                    .resume_step = roster_.resume_step},
                                               std::move(*exchange));
    } else {
      exchange_ = std::move(*exchange);
    }
  }
  if (roster_.resume_step > 0) {
    const std::string directory = environment_.checkpoint_dir + "/" + roster_.resume_directory;
    auto part = read_chief_part(directory);
    if (!part) return part.error();
    history_ = std::move(part->history);
    if (part->ended) {
      ended_before_ = true;
      ending_ = Ending::done;
    }
    sums_.loss = part->epoch_so_far.loss;
    sums_.correct = part->epoch_so_far.correct;
    sums_.samples = part->epoch_so_far.samples;
    if (local) {
      if (const Status restored = local->restore(part->table); !restored)
        return restored.error().with(directory);
    }
  }
  if (local) exchange_ = std::move(local);
  const auto step = exchange_->begin(network_->values());
  if (!step) return step.error();
  start_ = requested_ = done_ = *step;
  // Where trainers do not step together, each has its own last step in a checkpoint.
  if (start_ != roster_.resume_step && (is_chief() || config::in_step(job_.strategy.update))) {
    return Error{Errc::corrupt,
                 format("the shards are at step {}, the checkpoint at step {}", start_, roster_.resume_step)};
  }
  if (start_ > 0) log::info("goes on from step {} of {}", start_, plan_->steps());
  return {};
}

Status Training::train() {
  if (is_chief()) {
    chief_.emplace(job_.checkpoint.every, plan_->steps(), now());
    if (stop_asked_) {
      chief_->stop(Ending::stopped);
    } else if (job_.train.early_stop && should_stop_early(*job_.train.early_stop, history_)) {
      chief_->stop(Ending::done);
    }
  }
  sums_.since = now();
  while (done_ < plan_->steps() && ending_ == Ending::none) {
    if (const Status done = train_step(done_ + 1); !done) return done;
  }
  if (ending_ == Ending::none) ending_ = Ending::done;  // there was no step to do
  if (const Status left = leave(); !left) return left;
  watch_->finish();
  return {};
}

Status Training::train_step(std::uint64_t step) {
  if (const Status heard = hear_all(); !heard) return heard;
  if (const Status leased = lease(step); !leased) return leased;
  if (link_.cancelled) return cancelled_error();
  request_ahead(step);
  Push push{.step = step};
  for (std::size_t i = batches_.front(); i > 0; --i) {
    if (const Status done = train_batch(push, i == 1); !done) return done;
  }
  batches_.pop_front();
  const Time computed = now();
  if (chief_ && exchange_->exchanges(step)) push.marks = marks_of(step, computed);
  const auto stepped = exchange_->step(push, device_ ? std::span<float>() : network_->values());
  if (!stepped) return stepped.error();
  const Time exchanged = now();
  watch_->spent("exchange", computed, exchanged);
  watch_->step_ends();
  sums_.exchange += exchanged - computed;
  pace_.exchange += exchanged - computed;
  ++pace_.steps;
  counted_.exchange.add(seconds(exchanged - computed));
  counted_.samples.add(push.samples);
  counted_.steps.add();
  partition_samples_ += push.samples;
  ending_ = stepped->ending;
  sums_.staleness += stepped->staleness;
  sums_.staleness_max = std::max(sums_.staleness_max, stepped->staleness);
  ++sums_.steps;
  done_ = step;
  end_partition(step);
  const bool epoch_ends = plan_->ends_epoch(step);
  if (epoch_ends) {
    if (const Status done = end_epoch(step); !done) return done;
  }
  // After the end of the epoch: a checkpoint of its last step has its line of the history.
  if (push.marks.checkpoint) {
    save(step, push.marks.ending == Ending::done);
  }
  if (stepped->step > step) {
    if (const Status passed = pass_over(stepped->step); !passed) return passed;
  }
  if (!epoch_ends && (step == start_ + 1 || exchanged - told_ >= progress_every)) {
    std::map<std::string, double> metrics;
    if (sums_.samples > 0) {
      metrics["train/loss"] = sums_.loss / static_cast<double>(sums_.samples);
      metrics["train/accuracy"] = static_cast<double>(sums_.correct) / static_cast<double>(sums_.samples);
    }
    add_pace(metrics);
    tell_progress("train", step, metrics);
  }
  return {};
}

/// The next batch of the step that `push` is of: forward, backward, and into the sum.
Status Training::train_batch(Push& push, bool last) {
  const Time began = now();
  const data::Batch batch = next_batch();
  check(batch.step == push.step, "the loader gives what was requested, in order");
  if (!batch.bad.empty() && job_.data.fail_on_bad_record) {
    return Error{Errc::invalid, format("data.on_bad_record is fail: {}", batch.bad.front())};
  }
  partition_bad_count_ += static_cast<std::uint32_t>(batch.bad.size());
  for (const std::string& bad : batch.bad) {
    if (partition_bad_.size() < bad_named_max) partition_bad_.push_back(bad);
    if (skipped_.size() < skipped_max) skipped_.insert(bad);
  }
  const Time loaded = now();
  sums_.input += loaded - began;
  pace_.input += loaded - began;
  counted_.input.add(seconds(loaded - began));
  if (batch.count() == 0) return {};
  const void* const inputs[] = {batch.images.data()};
  graph::Feed feed{batch.count(), inputs, batch.labels.data(), batch.keys, push.step};
  if (device_) feed.update = &device_->next(feed.count);
  if (processor_.backend) announce_next();
  const graph::StepResult result = network_->train_step(feed, observer_of(push, feed.count, last));
  if (result.overflow)
    leave_out(result, push.step);
  else if (const Status taken = take(result, feed, push); !taken)
    return taken;
  const Time computed = now();
  const Duration computing = computed - loaded;
  watch_->spent("input", began, loaded);
  watch_->spent("compute", loaded, computed);
  sums_.compute += computing;
  pace_.compute += computing;
  counted_.compute.add(seconds(computing));
  return {};
}

Status Training::take(const graph::StepResult& result, const graph::Feed& feed, Push& push) {
  if (const Status finite = watch_->check_finite(result, feed); !finite) return finite;
  sums_.loss += result.loss_sum;
  sums_.correct += result.correct;
  sums_.samples += feed.count;
  if (!device_) accumulate(push);
  push.samples += feed.count;
  return {};
}

/// The exchange hears of no samples: others' count alone, and where there are none the values stay.
void Training::leave_out(const graph::StepResult& result, std::uint64_t step) {
  ++sums_.overflows;
  counted_.overflows.add();
  log::warn(
      "step {}: fp16 overflows with the loss scaled by {}; the batch is left out, the next is scaled by {}",
      step, result.loss_scale, result.loss_scale / 2);
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
