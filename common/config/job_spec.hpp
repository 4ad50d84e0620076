// One job, as a plain value: what the YAML of a job says after parsing, checking and resolving of paths.
// Reading and printing are in config/job.hpp; this header is what cores and daemons use.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/time.hpp"

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
  bool evaluator = false;
  Resources trainer{.cpus = 1, .memory = 1ull << 30};
  Resources ps{.cpus = 0.5, .memory = 512ull << 20};
  std::map<std::string, std::string> require;  // node labels that must match
  bool spread = false;                         // prefer one task a node over packing
  std::uint32_t restarts = 3;                  // of the gang, before the job fails
  Duration time_limit{};                       // zero: none
};

enum class StrategyKind { parameter_server, all_reduce, pipeline, local };
enum class UpdateRule { sync, async, ssp, dc_asgd };

struct StrategySection {
  StrategyKind kind = StrategyKind::parameter_server;
  UpdateRule update = UpdateRule::sync;
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

/// One layer of `model.layers`. Fields that a kind does not use keep their defaults.
struct Layer {
  enum class Kind { conv2d, batch_norm, relu, max_pool, avg_pool, global_avg_pool, flatten, dense, dropout };
  Kind kind = Kind::relu;
  std::uint32_t filters = 0;  // conv2d
  std::uint32_t kernel = 0;   // conv2d
  std::uint32_t stride = 1;   // conv2d; pools: 0 means the pool's size
  bool same = true;           // conv2d: padding same, else valid
  std::uint32_t size = 2;     // pools
  std::uint32_t units = 0;    // dense
  double rate = 0.5;          // dropout: share of values set to zero
  bool bias = true;           // conv2d, dense
  int line = 0, column = 0;   // where it stands in the YAML, for messages
};

struct ModelSection {
  std::vector<Layer> layers;
};

enum class OptimizerKind { sgd };
enum class ScheduleKind { constant, step, cosine };

struct OptimizerSection {
  OptimizerKind kind = OptimizerKind::sgd;
  double learning_rate = 0.05;
  double momentum = 0.0;
  bool nesterov = false;
  double weight_decay = 0.0;  // not on biases and batch norm
};

struct ScheduleSection {
  ScheduleKind kind = ScheduleKind::constant;
  std::uint64_t warmup_steps = 0;
  std::uint64_t step_epochs = 30;  // step: every so many epochs the rate is multiplied by `factor`
  double factor = 0.1;
};

struct EarlyStop {
  std::string metric = "validation/accuracy";
  std::uint32_t patience = 5;  // epochs without improvement
};

struct TrainSection {
  std::uint32_t epochs = 10;
  OptimizerSection optimizer;
  ScheduleSection schedule;
  std::uint64_t seed = 7;
  std::optional<EarlyStop> early_stop;
};

struct CheckpointSection {
  Duration every = 60s;
  std::uint32_t keep = 3;
};

struct OutputSection {
  std::string path;  // absolute after reading
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
