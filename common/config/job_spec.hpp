// One job, as a plain value: what the YAML of a job says after parsing, checking and resolving of paths.
// Reading and printing are in config/job.hpp; this header is what cores and daemons use.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/time.hpp"
#include "common/config/layer_spec.hpp"

namespace trainyard::config {

enum class JobKind { train, evaluate, predict, command };

struct Resources {
  double cpus = 1;                    // cores; tasks may share one
  std::uint64_t memory = 1ull << 30;  // bytes
  std::uint32_t gpus = 0;
  std::map<std::string, std::uint32_t> custom;
  friend bool operator==(const Resources&, const Resources&) = default;
};

struct ClusterSection {
  std::uint32_t trainers = 1;
  std::uint32_t parameter_servers = 1;
  std::uint32_t replicas = 0;  // followers of each shard
  bool evaluator = false;
  Resources trainer{.cpus = 1, .memory = 1ull << 30};
  Resources ps{.cpus = 0.5, .memory = 512ull << 20};
  std::map<std::string, std::string> require;  // node labels that must match
  bool spread = false;                         // prefer one task a node over packing
  std::uint32_t restarts = 3;                  // of the gang, before the job fails
  Duration time_limit{};                       // zero: none
};

enum class StrategyKind { parameter_server, all_reduce, pipeline, local };
/// When the shards apply what trainers push, and what is pushed; docs/update_rules.md.
enum class UpdateRule { sync, async, ssp, dc_asgd, dynsgd, local_sgd, easgd, downpour, adag };

/// Trainers step by themselves for a period between two exchanges.
constexpr bool steps_locally(UpdateRule rule) { return rule >= UpdateRule::local_sgd; }
/// A step is complete when all have pushed it; else shards apply pushes as they arrive.
constexpr bool in_step(UpdateRule rule) { return rule == UpdateRule::sync || rule == UpdateRule::local_sgd; }

/// Compensation of delay: g + lambda g g (w - w as the trainer read it), by value.
struct DelaySection {
  enum class Variant { constant, adaptive };
  Variant variant = Variant::adaptive;
  std::optional<double> lambda;  // 2 of adaptive, 0.04 of constant unless given
  double decay = 0.95;           // adaptive: of the mean square that lambda is divided by the root of
  double strength() const { return lambda.value_or(variant == Variant::adaptive ? 2.0 : 0.04); }
};

/// Of gradients between trainers and shards; see codec/codec.hpp.
enum class Compression : std::uint8_t { none, bf16, fp16, int8, topk };

struct StrategySection {
  StrategyKind kind = StrategyKind::parameter_server;
  UpdateRule update = UpdateRule::sync;
  std::uint32_t staleness = 3;        // ssp: how many steps a trainer may be ahead of the slowest
  std::uint32_t backup_trainers = 0;  // sync: a step is complete without so many of the trainers
  DelaySection delay;                 // dc_asgd
  std::uint32_t period = 8;           // of rules that step locally: steps between two exchanges
  double elasticity = 0.9;            // easgd: beta; a trainer and the centre meet by beta / trainers
  Compression compression = Compression::none;
};

enum class SourceKind { images, mnist };  // mnist: a folder with the four idx files, gzipped or not

/// One entry of `data.transform`; applied in order. Random ones act on the training split alone.
struct Transform {
  enum class Kind { resize, crop, flip, normalize };
  Kind kind = Kind::resize;
  std::uint32_t height = 0,
                width = 0;  // resize: exact output; crop: output of a random crop (train), centre (else)
  double scale_min = 1.0;   // crop: smallest part of the area that a random resized crop keeps; 1 keeps scale
  std::vector<float> mean, deviation;  // normalize: one a channel, on values in 0..1
};

struct DataSection {
  SourceKind source = SourceKind::images;
  std::string path;                                  // absolute after reading
  double train = 0.8, validation = 0.1, test = 0.1;  // parts; sum to 1. mnist: test is the given test set
  std::uint64_t split_seed = 7;
  std::vector<Transform> transform;
  bool fail_on_bad_record = false;
  std::uint32_t batch_size = 32;  // per trainer
  std::uint32_t loaders = 1;      // decoding threads a trainer
};

enum class OptimizerKind { sgd, adam, adamw, adagrad, rmsprop, ftrl, lars, lamb };
enum class ScheduleKind { constant, step, cosine, one_cycle, polynomial };

/// The names of the job file, in the order in which messages list them.
inline constexpr std::array<std::pair<const char*, OptimizerKind>, 8> optimizer_names{
    {{"sgd", OptimizerKind::sgd},
     {"adam", OptimizerKind::adam},
     {"adamw", OptimizerKind::adamw},
     {"adagrad", OptimizerKind::adagrad},
     {"rmsprop", OptimizerKind::rmsprop},
     {"ftrl", OptimizerKind::ftrl},
     {"lars", OptimizerKind::lars},
     {"lamb", OptimizerKind::lamb}}};
inline constexpr std::array<std::pair<const char*, ScheduleKind>, 5> schedule_names{
    {{"constant", ScheduleKind::constant},
     {"step", ScheduleKind::step},
     {"cosine", ScheduleKind::cosine},
     {"one_cycle", ScheduleKind::one_cycle},
     {"polynomial", ScheduleKind::polynomial}}};

/// Options that a kind does not use keep their defaults. The defaults below are those of sgd;
/// optimizer_defaults() has those of the other kinds.
struct OptimizerSection {
  OptimizerKind kind = OptimizerKind::sgd;
  double learning_rate = 0.05;
  double momentum = 0.0;  // sgd, rmsprop, lars
  bool nesterov = false;  // sgd
  double weight_decay = 0.0;
  std::array<double, 2> betas{0.9, 0.999};  // adam, adamw, lamb: of the two moments
  double epsilon = 1e-8;                    // of the denominator
  double rho = 0.99;                        // rmsprop: of the mean square
  bool centered = false;                    // rmsprop
  double initial_accumulator = 0.0;         // adagrad, ftrl
  double l1 = 0.0, l2 = 0.0, beta = 1.0;    // ftrl
  double trust_coefficient = 0.001;         // lars
  std::vector<std::string> no_decay;        // patterns over tensor names
};

/// PyTorch's where PyTorch has the rule; the learning rate of sgd is this program's own.
inline OptimizerSection optimizer_defaults(OptimizerKind kind) {
  OptimizerSection out{.kind = kind};
  switch (kind) {
    case OptimizerKind::sgd:
    case OptimizerKind::ftrl:
      break;
    case OptimizerKind::adam:
      out.learning_rate = 0.001;
      break;
    case OptimizerKind::adamw:
      out.learning_rate = 0.001;
      out.weight_decay = 0.01;
      break;
    case OptimizerKind::adagrad:
      out.learning_rate = 0.01;
      out.epsilon = 1e-10;
      break;
    case OptimizerKind::rmsprop:
      out.learning_rate = 0.01;
      break;
    case OptimizerKind::lars:
      out.momentum = 0.9;
      break;
    case OptimizerKind::lamb:
      out.learning_rate = 0.001;
      out.epsilon = 1e-6;
      break;
  }
  return out;
}

struct ScheduleSection {
  ScheduleKind kind = ScheduleKind::constant;
  std::uint64_t warmup_steps = 0;
  std::uint64_t step_epochs = 30;         // step: every so many epochs the rate is multiplied by `factor`
  std::vector<std::uint64_t> milestones;  // step: after so many epochs instead; rising
  double factor = 0.1;
  double min_rate = 0.0;               // cosine
  double rise = 0.3;                   // one_cycle: share of the steps until the peak
  double start_divisor = 25;           // one_cycle: the first rate is the peak divided by this
  double end_divisor = 10'000;         // one_cycle: the last rate is the first divided by this
  double power = 1.0, end_rate = 0.0;  // polynomial
};

/// What the history of a training has of each epoch; validation/ only where records validate.
inline constexpr std::array history_metrics{
    "train/loss",         "train/accuracy", "validation/loss", "validation/accuracy", "learning_rate",
    "samples_per_second", "wait/input",     "wait/compute",    "wait/exchange",       "seconds"};

struct EarlyStop {
  std::string metric = "validation/accuracy";
  std::uint32_t patience = 5;  // epochs without improvement
};

/// Of the mean gradient of a step; at most one of the two is given.
struct ClipSection {
  std::optional<double> norm;   // the global norm is at most this
  std::optional<double> value;  // each value is between minus this and this
};

struct EmaSection {
  double decay = 0.999;
};

/// An entry of `train.parameters`: what holds for the tensors whose names match. Of several entries that
/// match a tensor, the last one that gives an option decides it.
struct ParameterRule {
  std::string match;                    // glob: * any text, ? one character
  std::optional<double> learning_rate;  // times the rate of the schedule
  std::optional<double> weight_decay;   // in the place of the optimizer's
  std::optional<bool> freeze;           // neither sent nor updated
};

/// Of what linear maps read; weights, sums and everything else are fp32 (graph/narrow.hpp).
enum class Precision : std::uint8_t { fp32, bf16, fp16 };
inline constexpr std::array kPrecisionNames{"fp32", "bf16", "fp16"};  // by their numbers
constexpr std::optional<Precision> precision_named(std::string_view name) {
  for (std::size_t i = 0; i < kPrecisionNames.size(); ++i)
    if (name == kPrecisionNames[i]) return static_cast<Precision>(i);
  return std::nullopt;
}

struct TrainSection {
  std::uint32_t epochs = 10;
  OptimizerSection optimizer;
  ScheduleSection schedule;
  ClipSection clip;
  std::uint32_t accumulation = 1;  // batches of a trainer whose gradients make one update
  std::optional<EmaSection> ema;
  std::vector<ParameterRule> parameters;
  Precision precision = Precision::fp32;
  bool low_memory = false;     // compute activations twice instead of keeping them
  bool deterministic = false;  // the same bits with any number of threads
  std::uint64_t seed = 7;
  bool profile = false;  // of a window of steps
  std::optional<EarlyStop> early_stop;
};

struct CheckpointSection {
  Duration every = 60s;
  std::uint32_t keep = 3;
};

struct OutputSection {
  std::string path;  // absolute after reading
  bool tensorboard = false;
};

struct JobSpec {
  JobKind kind = JobKind::train;
  std::string name;
  std::string queue = "default";
  std::uint32_t priority = 50;
  ClusterSection cluster;
  StrategySection strategy;
  DataSection data;
  ModelSection model;
  TrainSection train;
  CheckpointSection checkpoint;
  OutputSection output;
};

}  // namespace trainyard::config
