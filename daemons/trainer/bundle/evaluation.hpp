// How good a network is on a set of records: loss, accuracy, confusion matrix, per class; and the prediction
// for each record. Runs the network on the caller's thread, with loader threads of its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/json.hpp"
#include "common/base/result.hpp"
#include "common/data/dataset.hpp"
#include "common/data/loader.hpp"
#include "common/graph/network.hpp"

namespace trainyard::trainer {

struct ClassMetrics {
  std::string label;
  double precision = 0, recall = 0, f1 = 0;  // 0 where they are not defined
  std::uint64_t support = 0;
};

struct Metrics {
  std::uint64_t count = 0;
  double loss = 0, accuracy = 0, top_5 = 0;  // loss: mean of nats
  std::vector<std::string> labels;
  std::vector<std::vector<std::uint64_t>> confusion;  // [true][predicted]
  std::vector<ClassMetrics> per_class;
};

/// One record: what it is and what the network says.
struct Prediction {
  std::uint32_t record = 0;
  std::int32_t label = 0;
  std::vector<float> probabilities;
};

struct Evaluation {
  Metrics metrics;
  std::vector<Prediction> predictions;
  std::vector<std::string> bad;  // "name: reason"
};

/// Sums up predictions; labels are indices of `classes`.
Metrics measure(const std::vector<std::string>& classes, std::span<const Prediction> predictions);

/// The shape of `trainyard evaluate -o json`.
Json to_json(const Metrics& metrics);

/// `network` takes batches of `batch`. Ends early with what it has when `cancelled`.
Evaluation evaluate(graph::Network& network, const data::Dataset& dataset, const data::Pipeline& pipeline,
                    std::span<const std::uint32_t> records, std::uint32_t batch, std::uint32_t loaders,
                    const std::atomic<bool>& cancelled);

}  // namespace trainyard::trainer
